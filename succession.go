package holdfast

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lockfile"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// ErrHeld is what Run returns when another Controller holds what is kept in the same [Options.StateFile].
var ErrHeld = lockfile.ErrHeld

// estate is what a Controller leaves to its successor on the same host: what the network and the table still have of it, and what
// else could only be found out by time.
type estate struct {
	Format int `json:"format"`
	// Boot is the host's, of which all of this is true.
	Boot string `json:"boot"`
	// Kept says that everything was left in place on purpose, and not by a crash.
	Kept bool `json:"kept"`
	// Masters are the instances that were MASTER.
	Masters []string `json:"masters"`
	// Probes are the verdicts that were reached, Services whether there was quorum.
	Probes   map[string]bool `json:"probes"`
	Services map[string]bool `json:"services"`
	// What operators said.
	Servers   []savedServer   `json:"servers,omitempty"`
	Instances []savedInstance `json:"instances,omitempty"`

	seen time.Time // the last sign of life
}

type (
	savedServer struct {
		ServerKey
		Weight *int `json:"weight,omitempty"`
		Out    bool `json:"out,omitempty"`
		Drain  bool `json:"drain,omitempty"`
	}
	savedInstance struct {
		Name     string `json:"name"`
		Priority uint8  `json:"priority,omitempty"`
		Out      bool   `json:"out,omitempty"`
	}
)

const estateFormat = 1

// bootID is the same until the host starts anew.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

// readEstate reads what a predecessor left: nothing, if it is of another boot or format.
func readEstate(path string) (estate, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return estate{}, nil
	}
	var e estate
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(text)).Decode(&e)
	}
	if err != nil {
		return estate{}, fmt.Errorf("holdfast: state file %s: %w", path, err)
	}
	if e.Format != estateFormat || e.Boot != bootID() {
		return estate{}, nil
	}
	if info, err := os.Stat(path); err == nil {
		e.seen = info.ModTime()
	}
	return e, nil
}

// write replaces the file as a whole.
func (e *estate) write(path string) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return errors.Join(live(next), os.Rename(next, path))
}

// live is a sign of life.
func live(path string) error {
	now := time.Now()
	return os.Chtimes(path, now, now)
}

// heirs are the instances that go on as MASTER: those that were, if their peers cannot have found them missing yet. A peer waits
// for three adverts at least, and the last one may have been sent an interval before the last sign of life.
func (e *estate) heirs(instances []vrrp.Instance, now time.Time) (names []string) {
	for i := range instances {
		in := &instances[i]
		patience := 2 * cmp.Or(in.Interval, time.Second)
		if slices.Contains(e.Masters, in.String()) && now.Sub(e.seen) < patience {
			names = append(names, in.String())
		}
	}
	return names
}

// overrides are what operators said.
func (e *estate) overrides() overrides {
	o := overrides{servers: make(map[ServerKey]serverOverride), instances: make(map[string]instanceOverride)}
	for _, s := range e.Servers {
		o.servers[s.ServerKey] = serverOverride{s.Weight, s.Out, s.Drain}
	}
	for _, in := range e.Instances {
		o.instances[in.Name] = instanceOverride{in.Priority, in.Out}
	}
	return o
}

// state has the verdicts and quorums, for newState to begin with.
func (e *estate) state() *state {
	s := &state{probes: make(map[string]*probeState, len(e.Probes))}
	for id, up := range e.Probes {
		s.probes[id] = &probeState{id: id, up: up}
	}
	for name, quorum := range e.Services {
		s.services = append(s.services, &serviceState{name: name, quorum: quorum})
	}
	return s
}

// succeed takes the place of a predecessor: the lock, then what it left.
func (c *Controller) succeed(ctx context.Context) error {
	if c.options.StateFile == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Takeover)
	defer cancel()
	lock, err := lockfile.Acquire(ctx, c.options.StateFile+".lock")
	if err != nil {
		return fmt.Errorf("holdfast: state file: %w", err)
	}
	c.lock = lock
	left, err := readEstate(c.options.StateFile)
	if err != nil {
		c.log.Error("nothing is taken over", "error", err)
	}
	c.mu.Lock()
	heirs := left.heirs(c.spec.Instances, time.Now())
	c.mu.Unlock()
	c.router.Adopt(heirs...)
	if left.Kept {
		c.notifier.inherit(heirs)
		c.mu.Lock()
		c.group.inherit(heirs)
		c.mu.Unlock()
	}
	c.left = left
	if left.seen.IsZero() {
		return nil // there was none
	}
	c.log.Info("predecessor", "kept", left.Kept, "silent for", time.Since(left.seen).Round(time.Millisecond), "masters", left.Masters, "go on", heirs)
	return nil
}

// inherit begins with the verdicts and the overrides that a predecessor left.
func (c *Controller) inherit() error {
	if c.left.Format == 0 {
		return nil
	}
	c.applying.Lock()
	defer c.applying.Unlock()
	if err := c.takeOver(); err != nil {
		return err
	}
	return c.router.Set(c.spec.Instances)
}

func (c *Controller) takeOver() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := c.left.overrides().within(&c.wish)
	spec := c.wish.with(over)
	if spec.Validate() != nil { // what was said then is impossible now
		over, spec = c.over, c.spec
	}
	former := c.left.state()
	former.present = c.present(&spec)
	next := newState(&spec, former)
	begun := slices.Clone(next.list)
	for i := range begun {
		if p := next.probes[begun[i].ID]; p != nil {
			begun[i].Alpha = !p.up
		}
	}
	// A probe that is new begins as its Alpha says; one that is there keeps its verdict.
	if err := errors.Join(c.monitor.Set(nil), c.monitor.Set(c.bound(begun)), c.monitor.Set(c.bound(next.list))); err != nil {
		return err
	}
	next.known = c.monitor.Known
	c.spec, c.state, c.over = spec, next, over
	for i := range spec.Instances {
		c.track(spec.Instances[i].String())
	}
	return nil
}

// estate is what a successor would need now.
func (c *Controller) estate(kept bool) *estate {
	e := &estate{Format: estateFormat, Boot: bootID(), Kept: kept, Masters: []string{}, Probes: make(map[string]bool), Services: make(map[string]bool)}
	for _, s := range c.router.Status() {
		if s.State == vrrp.Master {
			e.Masters = append(e.Masters, s.Instance.String())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept {
		e.Masters = c.heirs
	}
	for id, p := range c.state.probes {
		e.Probes[id] = p.up
	}
	for _, s := range c.state.services {
		e.Services[s.name] = s.quorum
	}
	for key, o := range c.over.servers {
		e.Servers = append(e.Servers, savedServer{key, o.weight, o.out, o.drain})
	}
	for name, o := range c.over.instances {
		e.Instances = append(e.Instances, savedInstance{name, o.priority, o.out})
	}
	return e
}

const (
	writeInterval = time.Second // the least time between two writes, unless an instance changed its state
	writeShare    = 50          // at most this part of the time is spent writing
)

// outdate says that the state file is.
func (c *Controller) outdate(urgently bool) {
	worth := c.worth
	if urgently {
		worth = c.urgent
	}
	select {
	case worth <- struct{}{}:
	default:
	}
}

// keepEstate writes the state file whenever it is out of date, but not all the time, and gives signs of life. At the end it
// leaves everything to a successor, once left is done.
func (c *Controller) keepEstate(ctx context.Context, left *sync.WaitGroup) {
	if c.lock == nil {
		return
	}
	select {
	case <-c.ready: // what is served comes before what is written
	case <-c.urgent:
	case <-ctx.Done():
	}
	life := time.NewTicker(time.Hour)
	defer life.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		life.Reset(c.signOfLife(c.writeEstate(false).Masters))
		c.untilOutdated(ctx, life, writeShare*time.Since(began))
	}
	left.Wait()
	if c.keeps() {
		c.writeEstate(true)
		if err := c.lock.Release(); err != nil {
			c.log.Error("state file", "error", err)
		}
	}
}

// untilOutdated gives signs of life until there is something to write and at least pause has passed.
func (c *Controller) untilOutdated(ctx context.Context, life *time.Ticker, pause time.Duration) {
	var worth, urgent chan struct{}
	soon, later := time.After(pause), time.After(max(pause, writeInterval))
	for {
		select {
		case <-ctx.Done():
			return
		case <-soon:
			urgent = c.urgent
		case <-later:
			worth = c.worth
		case <-urgent:
			return
		case <-worth:
			return
		case <-life.C:
			_ = live(c.options.StateFile) // without it a crash costs a failover, no more
		}
	}
}

// signOfLife is half of the shortest interval between adverts of those that are MASTER: see heirs. Nobody is back so soon that more
// than ten a second would help.
func (c *Controller) signOfLife(masters []string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	shortest := time.Hour
	for i := range c.spec.Instances {
		if in := &c.spec.Instances[i]; slices.Contains(masters, in.String()) {
			shortest = min(shortest, cmp.Or(in.Interval, time.Second))
		}
	}
	return max(shortest/2, 100*time.Millisecond)
}

func (c *Controller) writeEstate(kept bool) *estate {
	e := c.estate(kept)
	if err := e.write(c.options.StateFile); err != nil {
		c.log.Error("state file", "error", err)
	}
	return e
}

// bequeathNothing leaves no state file, and gives up its lock.
func (c *Controller) bequeathNothing() error {
	err := os.Remove(c.options.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, c.lock.Release())
}
