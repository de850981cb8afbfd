package holdfast

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/internal/script"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// scene is a Controller whose programs are only written down, unless stuck says that one does not end.
type scene struct {
	c       *Controller
	host    *vrrptest.Host
	server  *checktest.Script
	stop    func()
	mu      sync.Mutex
	ran     []string
	stuck   string
	options Options
}

func newScene() *scene {
	s := &scene{host: vrrptest.NewLAN().Host("10.0.0.1"), server: &checktest.Script{}}
	s.options.Network = s.host
	return s
}

func (s *scene) start(t *testing.T, spec Spec) {
	t.Helper()
	s.c = New(s.options)
	s.c.notifier.run = func(ctx context.Context, c script.Command) error {
		text := strings.Join(c.Args, " ")
		s.mu.Lock()
		s.ran = append(s.ran, text)
		s.mu.Unlock()
		if s.stuck != "" && strings.Contains(text, s.stuck) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	if err := s.c.Apply(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.c.Run(ctx) }()
	<-s.c.Ready()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// programs are those that ran since it was asked last.
func (s *scene) programs() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	ran := s.ran
	s.ran = nil
	return ran
}

func hook(kind EventKind, object, to string, words bool, args ...string) Hook {
	return Hook{Match: Match{kind, object, to}, Program: Program{Args: args}, Words: words}
}

// pair is two instances in a group, with every hook that keepalived has for them.
func pair() Spec {
	spec := Spec{Instances: []vrrp.Instance{
		{Name: "A", Interface: vrrptest.Interface, VRID: 1, Sync: "G", Addrs: vrrp.MustAddresses("10.0.0.100")},
		{Name: "B", Interface: vrrptest.Interface, VRID: 2, Sync: "G", Addrs: vrrp.MustAddresses("10.0.0.101"), Priority: 120},
	}}
	for _, name := range []string{"A", "B"} {
		for _, state := range []string{"MASTER", "BACKUP", "FAULT", "STOP"} {
			spec.Notify.Hooks = append(spec.Notify.Hooks, hook(EventInstance, name, state, false, "on"+state, name))
		}
		spec.Notify.Hooks = append(spec.Notify.Hooks, hook(EventInstance, name, "", true, "notify"), hook(EventRival, name, "", false, "rival", name))
	}
	spec.Notify.Hooks = append(spec.Notify.Hooks, hook(EventGroup, "G", "", true, "notify"), hook(EventGroup, "G", "MASTER", false, "groupMASTER"))
	return spec
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// of are the programs of one object: those of different objects run at the same time.
func of(object string, ran []string) (list []string) {
	for _, line := range ran {
		if slices.Contains(strings.Fields(line), object) {
			list = append(list, line)
		}
	}
	return list
}

func TestProgramsOfInstancesAndGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.start(t, pair())
		time.Sleep(10 * time.Second)
		ran := s.programs()
		wantLines(t, "A starts", of("A", ran), "onBACKUP A", "notify INSTANCE A BACKUP 100", "onMASTER A", "notify INSTANCE A MASTER 100")
		wantLines(t, "B starts", of("B", ran), "onBACKUP B", "notify INSTANCE B BACKUP 120", "onMASTER B", "notify INSTANCE B MASTER 120")
		wantLines(t, "the group starts", of("G", ran), "notify GROUP G BACKUP 0", "notify GROUP G MASTER 0")
		if !slices.Contains(ran, "groupMASTER") {
			t.Errorf("the group's own hook did not run: %v", ran)
		}
		s.host.Down()
		time.Sleep(10 * time.Second)
		ran = s.programs()
		wantLines(t, "A fails", of("A", ran), "onFAULT A", "notify INSTANCE A FAULT 100")
		wantLines(t, "the group fails", of("G", ran), "notify GROUP G FAULT 0")
		s.host.Up()
		time.Sleep(10 * time.Second)
		s.programs()
		s.stop()
		ran = s.programs()
		wantLines(t, "A stops", of("A", ran), "onSTOP A", "notify INSTANCE A STOP 100")
		wantLines(t, "the group stops", of("G", ran), "notify GROUP G STOP 0")
	})
}

// TestRemovedInstances are told as FAULT, or as DELETED where a hook says so, by the hooks that they had.
func TestRemovedInstances(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, spec := newScene(), pair()
			if deleted {
				spec.Notify.Hooks = append(spec.Notify.Hooks, hook(EventInstance, "A", "DELETED", false))
			}
			s.start(t, spec)
			time.Sleep(10 * time.Second)
			s.programs()
			next := Spec{Instances: spec.Instances[1:]}
			if err := s.c.Apply(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if deleted {
				wantLines(t, "A is removed", of("A", s.programs()), "notify INSTANCE A DELETED 100")
			} else {
				wantLines(t, "A is removed", of("A", s.programs()), "onFAULT A", "notify INSTANCE A FAULT 100")
			}
			s.stop()
		})
	}
}

// TestStuckProgram: it costs its own object time, nobody else, and is ended and told.
func TestStuckProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene()
		s.stuck = "onBACKUP A"
		s.start(t, pair())
		events := s.c.Subscribe(100)
		time.Sleep(10 * time.Second)
		ran := s.programs()
		wantLines(t, "A, stuck", of("A", ran), "onBACKUP A")
		wantLines(t, "B", of("B", ran), "onBACKUP B", "notify INSTANCE B BACKUP 120", "onMASTER B", "notify INSTANCE B MASTER 120")
		time.Sleep(time.Minute)
		wantLines(t, "A, later", of("A", s.programs()), "notify INSTANCE A BACKUP 100", "onMASTER A", "notify INSTANCE A MASTER 100")
		if !slices.ContainsFunc(drained(t, events), func(e Event) bool { return e.Kind == EventError && e.Object == "onBACKUP A" }) {
			t.Error("no event tells of it")
		}
		s.stop()
	})
}

func drained(t *testing.T, s *Subscription) (list []Event) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return list
		}
		list = append(list, e)
	}
}

func TestStartupAndShutdownPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, spec := newScene(), pair()
		spec.Startup, spec.Shutdown = &Program{Args: []string{"begin"}}, &Program{Args: []string{"end"}}
		s.start(t, spec)
		time.Sleep(10 * time.Second)
		if ran := s.programs(); ran[0] != "begin" || slices.Contains(ran, "end") {
			t.Errorf("ran %v", ran)
		}
		s.stop()
		if ran := s.programs(); ran[len(ran)-1] != "end" {
			t.Errorf("at the end ran %v", ran)
		}
	})
}

func (s *scene) service() Service {
	return Service{
		Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("10.0.0.100:80")}},
		Servers: []Server{{
			RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.11:80"), Weight: 1}},
			Checks:     []check.Probe{{Checker: s.server, Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}}},
		}},
	}
}

// TestFIFOLines holds the lines to what keepalived 2.2.7 writes; see integration/notify_linux_test.go for the comparison.
func TestFIFOLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, spec := newScene(), pair()
		spec.Services = []Service{s.service()}
		spec.Notify = Notify{Priorities: []string{"A"}, FIFOs: []FIFO{
			{Path: filepath.Join(dir, "vrrp"), Instances: true, Reader: &Program{Args: []string{"reader", "of"}}},
			{Path: filepath.Join(dir, "lvs"), Services: true}, {Path: filepath.Join(dir, "all"), Instances: true, Services: true},
		}}
		s.stuck = "reader"
		s.start(t, spec)
		time.Sleep(10 * time.Second)
		if err := errors.Join(s.c.SetTracking("A", vrrp.Tracking{Priority: 10}), s.c.SetTracking("B", vrrp.Tracking{Priority: 10})); err != nil {
			t.Error(err)
		}
		s.server.Down()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		vrrp, lvs, all := readFIFO(t, spec.Notify.FIFOs[0]), readFIFO(t, spec.Notify.FIFOs[1]), readFIFO(t, spec.Notify.FIFOs[2])
		wantLines(t, "vrrp", vrrp, `GROUP "G" BACKUP 0`, `INSTANCE "A" BACKUP 100`, `INSTANCE "B" BACKUP 120`,
			`INSTANCE "A" MASTER 100`, `INSTANCE "B" MASTER 120`, `GROUP "G" MASTER 0`, `INSTANCE "A" MASTER_PRIORITY 110`)
		wantLines(t, "lvs", lvs, "VS [10.0.0.100]:tcp:80 UP", "RS [10.0.0.11]:tcp:80 [10.0.0.100]:tcp:80 DOWN", "VS [10.0.0.100]:tcp:80 DOWN")
		if len(all) != len(vrrp)+len(lvs) {
			t.Errorf("all: %q", all)
		}
		wantLines(t, "programs", s.programs(), "reader of "+filepath.Join(dir, "vrrp"))
		s.stop()
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// readFIFO takes what is in a pipe now.
func readFIFO(t *testing.T, f FIFO) []string {
	t.Helper()
	fd, err := syscall.Open(f.Path, syscall.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	buf := make([]byte, 1<<16)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(buf[:n]), "\n"), "\n")
}

// mailbox is a mail server at the end of a pipe. While closed it refuses.
type mailbox struct {
	mu     sync.Mutex
	closed bool
	mails  []string
}

func (m *mailbox) dial(context.Context, string, string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	go m.serve(theirs)
	return ours, nil
}

func (m *mailbox) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	fmt.Fprint(conn, "220 here\r\n")
	for in.Scan() {
		switch {
		case strings.HasPrefix(in.Text(), "DATA"):
			fmt.Fprint(conn, "354 go\r\n")
			var text strings.Builder
			for in.Scan() && in.Text() != "." {
				text.WriteString(in.Text() + "\n")
			}
			m.mu.Lock()
			m.mails = append(m.mails, text.String())
			m.mu.Unlock()
			fmt.Fprint(conn, "250 taken\r\n")
		case strings.HasPrefix(in.Text(), "QUIT"):
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func (m *mailbox) close(closed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = closed
}

// subjects are those of the mails that came since it was asked last.
func (m *mailbox) subjects() (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mail := range m.mails {
		_, after, _ := strings.Cut(mail, "Subject: ")
		subject, _, _ := strings.Cut(after, "\n")
		list = append(list, subject)
	}
	m.mails = nil
	return list
}

// TestMail: who asked for it gets it, each state once, with reason and timing; a server that is away gets it later, in order.
func TestMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, box := newScene(), &mailbox{}
		s.options.Dial = box.dial
		spec := Spec{Services: []Service{s.service()}}
		spec.Notify = Notify{Host: "lb1", Mail: &Mail{
			Server: "mail.example.org", Security: "none", From: "lb1@example.org", To: []string{"ops@example.org"},
			About: []Match{{Kind: EventServer}, {Kind: EventService}}, Except: []Match{{Kind: EventService, To: "UP"}},
		}}
		s.start(t, spec)
		s.server.Down()
		time.Sleep(10 * time.Second)
		box.mu.Lock()
		text := strings.Join(box.mails, "\n")
		box.mu.Unlock()
		for _, want := range []string{"server 10.0.0.11:80 of TCP 10.0.0.100:80 on lb1 is DOWN, and was UP.", "Why:    " + checktest.ErrDown.Error(), "When:   ", "To: <ops@example.org>"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		wantLines(t, "mails", box.subjects(), "[lb1] server 10.0.0.11:80 of TCP 10.0.0.100:80 is DOWN", "[lb1] service TCP 10.0.0.100:80 is DOWN")
		box.close(true)
		s.server.Up()
		time.Sleep(5 * time.Second)
		s.server.Down()
		time.Sleep(5 * time.Second)
		box.close(false)
		time.Sleep(10 * time.Minute)
		wantLines(t, "mails", box.subjects(), "[lb1] server 10.0.0.11:80 of TCP 10.0.0.100:80 is UP", "[lb1] server 10.0.0.11:80 of TCP 10.0.0.100:80 is DOWN")
		box.close(true)
		events := s.c.Subscribe(100)
		s.server.Up()
		time.Sleep(time.Hour)
		if !slices.ContainsFunc(drained(t, events), func(e Event) bool { return e.Kind == EventError && e.Object == "mail server mail.example.org" }) {
			t.Error("no event tells of the mail that was given up")
		}
		s.stop()
	})
}

// TestWebhook: events arrive as JSON in order; what is refused for now is tried again, what is refused for good is told.
func TestWebhook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScene(), &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		var mu sync.Mutex
		var got []string
		answers := []int{200, 503, 200, 200}
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			var e hookEvent
			err := json.NewDecoder(r.Body).Decode(&e)
			status := 200
			if len(answers) > 0 {
				status, answers = answers[0], answers[1:]
			}
			got = append(got, fmt.Sprintf("%s %s %s %s %s %d %v", r.Header.Get("Authorization"), e.Host, e.Kind, e.Object, e.To, status, err))
			w.WriteHeader(status)
		})}
		go server.Serve(l)
		defer server.Close()
		s.options.Dial = l.dial
		spec := Spec{Services: []Service{s.service()}, Notify: Notify{Host: "lb1", Webhooks: []Webhook{{
			URL: "http://hook.example.org/x", Header: http.Header{"Authorization": {"Bearer abc"}}, About: []Match{{Kind: EventServer}, {Kind: EventService}},
		}}}}
		s.start(t, spec)
		s.server.Down()
		time.Sleep(30 * time.Second)
		s.stop()
		wantLines(t, "posts", got,
			"Bearer abc lb1 service TCP 10.0.0.100:80 UP 200 <nil>",
			"Bearer abc lb1 server TCP 10.0.0.100:80 10.0.0.11:80 DOWN 503 <nil>",
			"Bearer abc lb1 server TCP 10.0.0.100:80 10.0.0.11:80 DOWN 200 <nil>",
			"Bearer abc lb1 service TCP 10.0.0.100:80 DOWN 200 <nil>")
	})
}

// TestWebhookRedirects: an event is posted to its address and to no other. One that leads elsewhere has not taken it, which is told
// without what may be secret in the address.
func TestWebhookRedirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScene(), &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		asked := 0
		server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		})}
		go server.Serve(l)
		s.options.Dial = l.dial
		spec := Spec{Services: []Service{s.service()}, Notify: Notify{Webhooks: []Webhook{
			{URL: "http://hook.example.org/s3cret", About: []Match{{Kind: EventServer}}}, {Name: "dead", URL: "https://hook.example.org/s3cret", About: []Match{{Kind: EventServer}}},
		}}}
		s.start(t, spec)
		events := s.c.Subscribe(1000)
		s.server.Down()
		time.Sleep(3 * time.Minute)
		var told []string
		for _, e := range drained(t, events) {
			if e.Kind == EventError {
				told = append(told, e.Object+": "+e.Reason)
			}
		}
		slices.Sort(told)
		if len(told) != 2 || told[1] != "webhook http://hook.example.org: answered 302 Found; 1 lost" || !strings.HasPrefix(told[0], "webhook dead: ") {
			t.Errorf("told %q", told)
		}
		if asked != 1 || strings.Contains(fmt.Sprint(told), "s3cret") {
			t.Errorf("asked %d times; told %q", asked, told)
		}
		s.stop()
		server.Close()
	})
}

// pipeListener listens for connections that dial makes.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours, nil
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func TestNotifyIsValidated(t *testing.T) {
	for want, n := range map[string]Notify{
		"no program":          {Hooks: []Hook{{Match: Match{EventInstance, "A", "MASTER"}}}},
		"must be absolute":    {FIFOs: []FIFO{{Path: "fifo"}}},
		"not another's":       {FIFOs: []FIFO{{Path: "/a"}, {Path: "/a"}}},
		"no host":             {Mail: &Mail{Server: "mail:smtp", From: "a@b", To: []string{"a@b"}}},
		"a recipient":         {Mail: &Mail{Server: "a", From: "a@b"}},
		"http or https":       {Webhooks: []Webhook{{URL: "ftp://a/b"}}},
		"security \"maybe\"":  {Mail: &Mail{Server: "a", Security: "maybe", From: "a@b", To: []string{"a@b"}}},
		"http or https addre": {Webhooks: []Webhook{{URL: "http:///b"}}},
	} {
		if err := New(Options{}).Apply(t.Context(), Spec{Notify: n}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
