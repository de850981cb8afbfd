package vrrp_test

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts anew from what happens")

// TestTranscripts plays the stories in testdata: lines that begin with > are commands, what is indented under them is what
// happened then, and must happen again. The commands are in [story.do].
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/story-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(want)) })
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: happened:\n%s", file, difference(string(want), got))
			}
		})
	}
}

// difference shows what is new (+) and gone (-), line by line until both agree again; enough to see where they part.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for len(w) > 0 && len(g) > 0 && w[0] == g[0] {
		w, g = w[1:], g[1:]
	}
	var b strings.Builder
	for _, line := range w[:min(len(w), 12)] {
		fmt.Fprintln(&b, "-", line)
	}
	for _, line := range g[:min(len(g), 12)] {
		fmt.Fprintln(&b, "+", line)
	}
	return b.String()
}

// story is a LAN with its routers.
type story struct {
	t        *testing.T
	lan      *vrrptest.LAN
	began    time.Time
	actors   map[string]*actor
	ctx      context.Context
	traced   int
	mu       sync.Mutex // guards happened
	happened []happening
}

type actor struct {
	name string
	host *vrrptest.Host
	addr string
	in   []vrrp.Instance
	r    *vrrp.Router
	stop func()
}

type happening struct {
	at   time.Duration
	name string
	text string
}

func play(t *testing.T, script string) string {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &story{t: t, lan: vrrptest.NewLAN(), began: time.Now(), actors: make(map[string]*actor), ctx: ctx}
	var out strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "    ") {
			continue // what happened last time
		}
		out.WriteString(line)
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "> "); ok {
			for _, text := range s.do(strings.Fields(command)) {
				fmt.Fprintln(&out, "    "+text)
			}
		}
	}
	for _, a := range s.actors {
		if a.stop != nil {
			a.stop()
		}
	}
	synctest.Wait()
	return out.String()
}

// do carries out a command and returns what happened.
//
//	router NAME ADDRESS [OPTION...]   a host with an instance; again, for another instance on it
//	change NAME [OPTION...]           the options of its instances are others now
//	start NAME, stop NAME             stop leaves in order
//	cut NAME, restore NAME            its cable, without its noticing; down and up with
//	track NAME N, fault NAME WORD     what the host's own health adds to the priority; WORD none ends the fault
//	take NAME ADDRESS                 someone takes an address off
//	claim ADDRESS                     a stranger on the LAN says that it has the address
//	advance DURATION, holders ADDRESS, status
func (s *story) do(words []string) []string {
	var a *actor
	if len(words) > 1 {
		a = s.actors[words[1]]
	}
	switch words[0] {
	case "router":
		s.router(a, words[1], words[2], words[3:])
	case "change":
		for i := range a.in {
			s.options(&a.in[i], words[2:])
		}
		s.must(a.r.Set(a.in))
	case "start":
		s.start(a)
	case "stop":
		a.stop()
		a.stop = nil
	case "cut":
		a.host.Cut()
	case "restore":
		a.host.Restore()
	case "down":
		a.host.Down()
	case "up":
		a.host.Up()
	case "track":
		n, err := strconv.Atoi(words[2])
		s.must(err)
		a.r.SetTracking(a.in[0].Name, vrrp.Tracking{Priority: n, Reason: "health"})
	case "fault":
		a.r.SetTracking(a.in[0].Name, vrrp.Tracking{Fault: words[2] != "none", Reason: words[2]})
	case "take":
		a.host.Take(netip.MustParsePrefix(words[2]))
	case "claim":
		s.lan.Claim(netip.MustParseAddr(words[1]), [6]byte{2, 0, 0, 0xbe, 0xef, 1})
	case "advance":
		d, err := time.ParseDuration(words[1])
		s.must(err)
		time.Sleep(d)
	case "holders":
		return []string{fmt.Sprintf("%s is on %v", words[1], s.names(s.lan.Holders(words[1])))}
	case "status":
		return s.status()
	default:
		s.t.Fatalf("no command %q", words[0])
	}
	synctest.Wait()
	return s.take()
}

func (s *story) must(err error) {
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) router(a *actor, name, addr string, options []string) {
	if a == nil {
		a = &actor{name: name, addr: addr, host: s.lan.Host(addr)}
		s.actors[name] = a
	}
	in := vrrp.Instance{Name: "web", Interface: vrrptest.Interface, VRID: 51, Addrs: vrrp.MustAddresses("10.0.0.100")}
	s.options(&in, options)
	a.in = append(a.in, in)
}

// options are keepalived's keywords: KEY or KEY=VALUE.
func (s *story) options(in *vrrp.Instance, options []string) {
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		n, _ := strconv.Atoi(value)
		d, _ := time.ParseDuration(value)
		switch key {
		case "name":
			in.Name = value
		case "vrid":
			in.VRID = uint8(n)
		case "version":
			in.Version = uint8(n)
		case "priority":
			in.Priority = uint8(n)
		case "advert_int":
			in.Interval = d
		case "nopreempt":
			in.NoPreempt = true
		case "preempt_delay":
			in.PreemptDelay = d
		case "sync_group":
			in.Sync = value
		case "auth_pass":
			in.AuthType, in.Password = vrrp.AuthPass, value
		case "auth_none":
			in.AuthType, in.Password = vrrp.AuthNone, ""
		case "address":
			in.Addrs = vrrp.MustAddresses(strings.Split(value, ",")...)
		case "unicast_peer":
			in.Peers = append(in.Peers, vrrp.Peer{Addr: netip.MustParseAddr(value)})
		case "garp_master_refresh":
			in.Announce.Refresh = d
		case "vrrp_startup_delay":
			in.StartDelay = d
		case "higher_prio_send_advert":
			in.HigherPrioSendAdvert = true
		case "lower_prio_no_advert":
			in.LowerPrioNoAdvert = true
		default:
			s.t.Fatalf("no option %q", key)
		}
	}
}

func (s *story) start(a *actor) {
	tell := func(at time.Time, instance, text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		name := a.name
		if len(a.in) > 1 {
			name += " " + instance
		}
		s.happened = append(s.happened, happening{at.Sub(s.began), name, text})
	}
	a.r = vrrp.NewRouter(vrrp.Options{
		Network:      a.host,
		OnTransition: func(t vrrp.Transition) { tell(t.At, t.Instance, fmt.Sprintf("%v -> %v: %s", t.From, t.To, t.Reason)) },
		OnConflict: func(c vrrp.Conflict) {
			tell(c.At, c.Instance, fmt.Sprintf("conflict %v with %v: %s", c.Kind, c.From, c.Detail))
		},
	})
	s.must(a.r.Set(a.in))
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan error, 1)
	go func() { done <- a.r.Run(ctx) }()
	a.stop = func() {
		cancel()
		s.must(<-done)
	}
}

// take is what happened since the last time: what the routers told of, and what the LAN saw of addresses.
func (s *story) take() (lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortStableFunc(s.happened, func(a, b happening) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return strings.Compare(a.name, b.name)
	})
	for _, h := range s.happened {
		lines = append(lines, fmt.Sprintf("%v %s: %s", h.at, h.name, h.text))
	}
	s.happened = nil
	trace := s.lan.Trace()
	lines = append(lines, s.compress(trace[s.traced:])...)
	s.traced = len(trace)
	return lines
}

// compress tells host by host what it did, sorted, as the order of what happens at once is nobody's, and counts what it did
// more than once.
func (s *story) compress(trace []string) (lines []string) {
	var names []string
	did := make(map[string][]string)
	for _, line := range trace {
		host, rest, _ := strings.Cut(line, " ")
		name := s.names([]string{host})[0]
		names = append(names, name)
		did[name] = append(did[name], strings.NewReplacer("add", "adds", "remove", "removes", "announce", "announces").Replace(rest))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		slices.Sort(did[name])
		for len(did[name]) > 0 {
			what := did[name][0]
			others := slices.DeleteFunc(slices.Clone(did[name]), func(w string) bool { return w == what })
			n := len(did[name]) - len(others)
			did[name] = others
			line := name + " " + what
			if n > 1 {
				line += fmt.Sprintf(" %d times", n)
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// names are the routers' of addresses.
func (s *story) names(addrs []string) []string {
	names := make([]string, len(addrs))
	for i, addr := range addrs {
		n := 0
		for _, a := range s.actors {
			if a.addr == addr {
				names[i] = a.name
				n++
			}
		}
		if n != 1 {
			names[i] = addr // nobody's, or that of two
		}
	}
	return names
}

func (s *story) status() (lines []string) {
	for _, a := range s.actors {
		if a.stop == nil {
			continue
		}
		for _, st := range a.r.Status() {
			line := fmt.Sprintf("%s %s: %v priority %d, master %v, received %d", a.name, st.Instance.Name, st.State, st.Priority, st.Master, st.Stats.AdvertsReceived)
			if len(st.Conflicts) > 0 {
				line += fmt.Sprintf(", conflicts %v", st.Conflicts)
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}
