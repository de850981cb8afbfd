package vrrp

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/serial"
)

// runner is an instance at work.
type runner struct {
	in         Instance
	machine    *Machine
	group      Group // of the sync group, itself included
	port       *port
	twin       *port  // where the other protocol of version 2 is heard, nil without one
	home       *link  // of its interface; its worker does the slow work
	device     string // the link of its addresses
	vlinks     []*vlink
	promoted   bool    // its addresses' interfaces promote secondaries
	ears       []*ear  // on the links of its addresses
	links      []*link // its own and those that it depends on
	wakeAt     instant // of its timer
	slot       int     // in the timers, -1 outside
	dirty      bool    // it is in Router.dirty
	suspect    bool    // it is in Router.suspects
	gone       bool    // it has left
	source     netip.Addr
	id         uint16 // of the last advert's IP header
	fault      string // why it cannot take part, by itself
	weight     int    // of tracked interfaces
	since      time.Time
	heard      time.Time // the last advert that was accepted, zero before
	stats      Stats
	complained map[error]bool
	lastSeen   Checksum
	writer     writer
	term       atomic.Uint64 // changes when addresses are taken or given up; read by the worker
}

func newRunner(in Instance) *runner {
	x := &runner{machine: mustMachine(in), slot: -1, complained: make(map[error]bool)}
	x.setInstance(in)
	return x
}

func (x *runner) setInstance(in Instance) {
	x.in = in
	x.writer.configure(in)
}

// mustMachine is for wishes that have been validated.
func mustMachine(in Instance) *Machine {
	m, err := NewMachine(in)
	if err != nil {
		panic("vrrp: " + err.Error())
	}
	return m
}

func (x *runner) effective(t Tracking) uint8 {
	if x.in.owner() {
		return 255
	}
	return uint8(min(max(int(x.in.priority())+x.weight+t.Priority, 1), 254))
}

// silence is how long nobody was heard, 0 when nobody ever was.
func (x *runner) silence(now time.Time) time.Duration {
	if x.heard.IsZero() {
		return 0
	}
	return now.Sub(x.heard)
}

func (x *runner) accepted(now time.Time, a *Advertisement) {
	x.heard = now
	x.lastSeen = a.Checksum
	x.writer.heard(a.Checksum)
	if a.Priority == 0 {
		x.stats.PriorityZeroReceived++
	}
}

// InstanceStatus is a snapshot of one instance.
type InstanceStatus struct {
	Instance Instance `json:"instance"`
	State    State    `json:"state"`
	// Since is when the state was entered, zero before Run.
	Since time.Time `json:"since"`
	// Priority is the effective one.
	Priority uint8 `json:"priority"`
	// Source is the address that adverts are sent from, not valid while there is none.
	Source netip.Addr `json:"source"`
	// Master is the address of the present MASTER, not valid before one is known.
	Master netip.Addr `json:"master"`
	// ChecksumSeen is the form of the last advert accepted.
	ChecksumSeen Checksum `json:"checksumSeen"`
	Stats        Stats    `json:"stats"`
	// Conflicts counts what did not agree, by the names of [ConflictKind].
	Conflicts map[string]uint64 `json:"conflicts,omitempty"`
}

// Status is a snapshot of all instances, in the order in which they were set.
func (r *Router) Status() []InstanceStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]InstanceStatus, 0, len(r.runners))
	for _, x := range r.runners {
		all = append(all, InstanceStatus{
			Instance: x.in, State: x.machine.State(), Since: x.since, Priority: x.machine.Priority(), Source: x.source,
			Master: x.machine.MasterAddr(), ChecksumSeen: x.lastSeen, Stats: x.stats, Conflicts: x.machine.conflicts.all(),
		})
	}
	return all
}

// notifier hands transitions and notices to the host application, in order, however long it takes.
type notifier struct {
	onTransition func(Transition)
	onNotice     func(Notice)
	queue        *serial.Queue
}

func newNotifier(onTransition func(Transition), onNotice func(Notice)) *notifier {
	return &notifier{onTransition: onTransition, onNotice: onNotice, queue: serial.NewQueue()}
}

func (n *notifier) add(t Transition) {
	if n.onTransition != nil {
		n.queue.Add(func() { n.onTransition(t) })
	}
}

func (n *notifier) notice(notice Notice) { n.queue.Add(func() { n.onNotice(notice) }) }

// run returns when everything has been handed over after close.
func (n *notifier) run() { <-n.queue.Done() }

func (n *notifier) close() { n.queue.Finish() }
