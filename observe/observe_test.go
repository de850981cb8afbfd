package observe_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/observe"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// world is an observed Controller on a LAN and a table in memory, with one instance, one service and one scripted server.
type world struct {
	c      *holdfast.Controller
	o      *observe.Observer
	server *checktest.Script
	spec   holdfast.Spec
}

func newWorld(name string, options observe.Options) *world {
	w := &world{server: &checktest.Script{}}
	w.c = holdfast.New(holdfast.Options{Network: vrrptest.NewLAN().Host("10.0.0.1"), Table: &ipvstest.Fake{}, Logger: slog.New(slog.DiscardHandler)})
	w.o = observe.New(w.c, options)
	w.spec = holdfast.Spec{
		Instances: []vrrp.Instance{{Name: name, Interface: vrrptest.Interface, VRID: 7, Addrs: vrrp.MustAddresses("10.0.0.100/32")}},
		Services: []holdfast.Service{{
			Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("10.0.0.100:80")}, Scheduler: "rr"},
			Servers: []holdfast.Server{{
				RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.11:80"), Weight: 3}},
				Checks:     []check.Probe{{ID: name, Checker: w.server, Policy: check.Policy{DelayLoop: 2 * time.Second, Warmup: -1}}},
			}},
		}},
		Trackers: []holdfast.Tracker{{Name: name, Probe: check.Probe{Checker: &checktest.Script{}, Policy: check.Policy{DelayLoop: 2 * time.Second, Warmup: -1}}}},
	}
	return w
}

// run applies the Spec and runs Controller and Observer until the returned function is called.
func (w *world) run(t *testing.T) (stop func()) {
	t.Helper()
	if err := w.c.Apply(t.Context(), w.spec); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- w.c.Run(ctx) }()
	go func() { ended <- w.o.Run(ctx) }()
	<-w.c.Ready()
	return func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	}
}

// TestMetrics: every family is there, well named, and says what happened.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("web", observe.Options{Version: "v1"})
		defer w.run(t)()
		time.Sleep(10*time.Second + 500*time.Millisecond)
		w.server.Down()
		time.Sleep(10 * time.Second)
		for _, to := range []string{"BEGUN", "OK", "SCHEDULED", "BEGUN", "REFUSED", "CANCELLED"} {
			if err := w.c.Publish(holdfast.Event{Kind: holdfast.EventReload, Object: "k.conf", To: to, Reason: "bro\nken"}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		h := w.o.Handler()
		if text := get(h, "/", "").Body.String(); !strings.Contains(text, "reload  REFUSED 0s ago") || !strings.Contains(text, "bro ken\n") {
			t.Errorf("the text says nothing of the reload:\n%s", text)
		}
		problems, err := testutil.CollectAndLint(w.o)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v %v", problems, err)
		}
		want := `
# HELP holdfast_check_detection_seconds Time from the last good check to the verdict DOWN.
# TYPE holdfast_check_detection_seconds histogram
holdfast_check_detection_seconds_bucket{le="0.01"} 0
holdfast_check_detection_seconds_bucket{le="0.025"} 0
holdfast_check_detection_seconds_bucket{le="0.05"} 0
holdfast_check_detection_seconds_bucket{le="0.1"} 0
holdfast_check_detection_seconds_bucket{le="0.25"} 0
holdfast_check_detection_seconds_bucket{le="0.5"} 0
holdfast_check_detection_seconds_bucket{le="1"} 0
holdfast_check_detection_seconds_bucket{le="2"} 1
holdfast_check_detection_seconds_bucket{le="3"} 1
holdfast_check_detection_seconds_bucket{le="5"} 1
holdfast_check_detection_seconds_bucket{le="10"} 1
holdfast_check_detection_seconds_bucket{le="30"} 1
holdfast_check_detection_seconds_bucket{le="60"} 1
holdfast_check_detection_seconds_bucket{le="120"} 1
holdfast_check_detection_seconds_bucket{le="+Inf"} 1
holdfast_check_detection_seconds_sum 2
holdfast_check_detection_seconds_count 1
# HELP holdfast_check_failures_total Checks that failed.
# TYPE holdfast_check_failures_total counter
holdfast_check_failures_total{check="web",destination="10.0.0.11:80",service="TCP 10.0.0.100:80"} 5
# HELP holdfast_config_last_reload_successful 1 when the last attempt to read the configuration again succeeded, or there was none.
# TYPE holdfast_config_last_reload_successful gauge
holdfast_config_last_reload_successful 0
# HELP holdfast_config_reloads_total Attempts to read the configuration again, by result.
# TYPE holdfast_config_reloads_total counter
holdfast_config_reloads_total{result="failure"} 1
holdfast_config_reloads_total{result="success"} 1
# HELP holdfast_destination_transitions_total Changes between UP and DOWN, by the state entered.
# TYPE holdfast_destination_transitions_total counter
holdfast_destination_transitions_total{destination="10.0.0.11:80",service="TCP 10.0.0.100:80",state="DOWN"} 1
# HELP holdfast_service_up 1 when the service has quorum.
# TYPE holdfast_service_up gauge
holdfast_service_up{service="TCP 10.0.0.100:80"} 0
# HELP holdfast_vrrp_instance_state 1 for the state that the instance is in, 0 for the others.
# TYPE holdfast_vrrp_instance_state gauge
holdfast_vrrp_instance_state{state="BACKUP",vrrp_instance="web"} 0
holdfast_vrrp_instance_state{state="FAULT",vrrp_instance="web"} 0
holdfast_vrrp_instance_state{state="INIT",vrrp_instance="web"} 0
holdfast_vrrp_instance_state{state="MASTER",vrrp_instance="web"} 1
# HELP holdfast_vrrp_instance_transitions_total Changes of state, by the state entered.
# TYPE holdfast_vrrp_instance_transitions_total counter
holdfast_vrrp_instance_transitions_total{state="BACKUP",vrrp_instance="web"} 1
holdfast_vrrp_instance_transitions_total{state="MASTER",vrrp_instance="web"} 1
`
		if err := testutil.CollectAndCompare(w.o, strings.NewReader(want), metricNames(want)...); err != nil {
			t.Error(err)
		}
	})
}

func metricNames(text string) (names []string) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names = append(names, name)
		}
	}
	return names
}

// hostile is a name that a configuration may well contain.
const hostile = "a\"\\\n<script>alert(1)</script>\x1b[2J\xff{}"

// TestHostileNames: a name is data in metrics, JSON and text, and never more.
func TestHostileNames(t *testing.T) {
	w := newWorld(hostile, observe.Options{Name: hostile, Version: hostile})
	defer w.run(t)()
	h := w.o.Handler()
	metrics := get(h, "/metrics", "")
	if metrics.Code != 200 || !strings.Contains(metrics.Body.String(), `holdfast_vrrp_instance_priority{vrrp_instance="a\\\"\\\\\\n<script>alert(1)</script>\\x1b[2J\\xff{}"} 100`) {
		t.Errorf("metrics: %d\n%s", metrics.Code, lines(metrics.Body.String(), "instance_priority{"))
	}
	var s holdfast.Status
	if err := json.Unmarshal(get(h, "/status", "").Body.Bytes(), &s); err != nil || len(s.Instances) != 1 {
		t.Errorf("JSON: %v", err)
	}
	if text := get(h, "/", "*/*").Body.String(); strings.ContainsAny(text, "\x1b") || strings.Count(text, "\n") != 5 {
		t.Errorf("text: %q", text)
	}
	page := get(h, "/", "text/html")
	if body := page.Body.String(); strings.Contains(body, "<script>alert") || !strings.Contains(body, "&lt;script&gt;alert") {
		t.Error("the page contains the name as markup")
	}
	if csp := page.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy: %s", csp)
	}
}

func lines(text, part string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func get(h http.Handler, path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestMetricsForgetWhatIsGone: counters of removed objects go away.
func TestMetricsForgetWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("web", observe.Options{})
		defer w.run(t)()
		time.Sleep(10 * time.Second)
		if n := testutil.CollectAndCount(w.o, "holdfast_vrrp_instance_transitions_total"); n != 2 {
			t.Errorf("%d series of transitions", n)
		}
		before := w.spec
		w.spec = holdfast.Spec{}
		if err := w.c.Apply(t.Context(), w.spec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if err := w.c.Apply(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// That it left may be counted or not: its last word and the Spec without it come at once.
		text := lines(get(w.o.Handler(), "/metrics", "*/*").Body.String(), "holdfast_vrrp_instance_transitions_total{")
		if !strings.Contains(text, `{state="BACKUP",vrrp_instance="web"} 1`) || strings.Contains(text, "MASTER") {
			t.Errorf("it went, left, and came again: %s", text)
		}
	})
}

// TestOwnRegistry: an Observer is a collector like any other.
func TestOwnRegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	w := newWorld("web", observe.Options{})
	if err := registry.Register(w.o); err != nil {
		t.Fatal(err)
	}
	defer w.run(t)()
	if families, err := registry.Gather(); err != nil || len(families) < 30 {
		t.Errorf("%d families, %v", len(families), err)
	}
}

// serve serves the Observer on loopback.
func serve(t *testing.T, w *world) (base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- observe.Serve(ctx, l, w.o.Handler()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestEventStream: what is remembered comes first, then what happens; a reader that comes back gets what it missed.
func TestEventStream(t *testing.T) {
	w := newWorld("web", observe.Options{})
	defer w.run(t)()
	base := serve(t, w)
	first := follow(t, base, "")
	if e := first.next(); e.Seq != 1 || e.Kind != holdfast.EventApply {
		t.Errorf("the first event: %+v", e)
	}
	if e := first.next(); e.Seq != 2 || e.Kind != holdfast.EventInstance || e.To != "BACKUP" {
		t.Errorf("the second event: %+v", e)
	}
	first.body.Close()
	again := follow(t, base, "1")
	if e := again.next(); e.Seq != 2 {
		t.Errorf("after Last-Event-ID 1: %+v", e)
	}
	w.spec.Services = nil
	if err := w.c.Apply(t.Context(), w.spec); err != nil {
		t.Fatal(err)
	}
	for e := again.next(); ; e = again.next() {
		if e.Missed > 0 {
			t.Errorf("missed: %+v", e)
		}
		if e.Kind == holdfast.EventApply {
			break
		}
	}
	answer, err := http.Get(base + "/events?after=soon")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Error(answer.Status)
	}
}

// reader reads a stream.
type reader struct {
	t    *testing.T
	body io.ReadCloser
	rest string
}

func follow(t *testing.T, base, last string) *reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", last)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	return &reader{t: t, body: answer.Body}
}

// next returns the next event of the stream.
func (r *reader) next() (e holdfast.Event) {
	r.t.Helper()
	for buf := make([]byte, 4096); ; {
		block, rest, whole := strings.Cut(r.rest, "\n\n")
		if !whole {
			n, err := r.body.Read(buf)
			if n == 0 && err != nil {
				r.t.Fatalf("the stream ended: %v", err)
			}
			r.rest += string(buf[:n])
			continue
		}
		r.rest = rest
		if _, data, ok := strings.Cut(block, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				r.t.Fatal(err)
			}
			return e
		}
	}
}

// TestStreamsAreBounded: one reader more than allowed is told to come back.
func TestStreamsAreBounded(t *testing.T) {
	w := newWorld("web", observe.Options{MaxStreams: 1})
	defer w.run(t)()
	base := serve(t, w)
	one := follow(t, base, "")
	answer, err := http.Get(base + "/events")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the second reader: %s", answer.Status)
	}
	one.body.Close()
}

// slowWriter is a client that reads only when it is let.
type slowWriter struct {
	*httptest.ResponseRecorder
	let chan struct{}
	cut context.Context
}

func (s *slowWriter) Write(b []byte) (int, error) {
	select {
	case <-s.let:
		return s.ResponseRecorder.Write(b)
	case <-s.cut.Done():
		return 0, s.cut.Err()
	}
}

// TestSlowReaderIsTold: a reader that does not keep up loses the oldest events, learns how many, and delays nobody.
func TestSlowReaderIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("web", observe.Options{History: 1})
		defer w.run(t)()
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		slow := &slowWriter{httptest.NewRecorder(), make(chan struct{}), ctx}
		done := make(chan struct{})
		go func() {
			w.o.Handler().ServeHTTP(slow, httptest.NewRequest("GET", "/events", nil).WithContext(ctx))
			close(done)
		}()
		slow.let <- struct{}{} // the head
		synctest.Wait()
		for i := range 1000 {
			w.spec.Instances[0].Priority = uint8(100 + i%2)
			if err := w.c.Apply(t.Context(), w.spec); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			slow.let <- struct{}{}
			synctest.Wait()
		}
		if h := w.o.History(); h[0].Seq < 1000 {
			t.Errorf("the others waited: %+v", h)
		}
		cancel()
		<-done
		last, missed := uint64(0), uint64(0)
		for line := range strings.Lines(slow.Body.String()) {
			var e holdfast.Event
			if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &e) == nil {
				if last > 0 && e.Seq != last+1+e.Missed {
					t.Errorf("event %d follows %d and tells of %d missed ones", e.Seq, last, e.Missed)
				}
				last, missed = e.Seq, missed+e.Missed
			}
		}
		if missed < 500 {
			t.Errorf("the slow reader was told of %d missed events", missed)
		}
	})
}

// TestSlowAndLargeAskers: who does not finish asking is cut off, and who asks at length is refused.
func TestSlowAndLargeAskers(t *testing.T) {
	t.Parallel()
	w := newWorld("web", observe.Options{})
	defer w.run(t)()
	base := serve(t, w)
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /status HTTP/1.1\r\nHost: a\r\nX-Slow: ")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("half a request is waited for without end: %v", err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", base+"/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("a", 64<<10))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("64 KiB of header: %s", answer.Status)
	}
}

// TestText: columns are aligned by what is seen, in colour or not, and maintenance is a state of its own.
func TestText(t *testing.T) {
	now := time.Now()
	s := holdfast.Status{
		Time:      now,
		Instances: []vrrp.InstanceStatus{{Instance: vrrp.Instance{Name: "web", Addrs: vrrp.MustAddresses("192.0.2.10/24")}, State: vrrp.Master, Since: now.Add(-time.Minute), Priority: 100, Conflicts: map[string]uint64{"peer": 2, "claim": 1}}},
		Services: []holdfast.ServiceStatus{{Service: "TCP 192.0.2.10:80", Up: true, LiveWeight: 1, Servers: []holdfast.ServerStatus{
			{Server: "10.0.0.1:80", Up: true, Weight: 1, Entry: &holdfast.EntryStatus{ActiveConnections: 3}},
			{Server: "10.0.0.2:80", Up: true, Weight: 1, Maintenance: true},
		}}},
		Trackers: []holdfast.CheckStatus{{ID: "chk", Since: now.Add(-time.Hour), Error: "exit status 1"}},
	}
	var plain, color strings.Builder
	if err := errors.Join(observe.WriteText(&plain, s, false), observe.WriteText(&color, s, true)); err != nil {
		t.Fatal(err)
	}
	want := `web  MASTER for 1m0s  priority 100  no master known  192.0.2.10/24  conflicts: claim 1, peer 2
TCP 192.0.2.10:80  UP           live weight 1
  10.0.0.1:80      UP           weight 1       3 active, 0 inactive
  10.0.0.2:80      MAINTENANCE  weight 1
tracker chk  DOWN for 1h0m0s  0s  exit status 1
`
	if plain.String() != want {
		t.Errorf("text:\n%s\nwant:\n%s", plain.String(), want)
	}
	if bare := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(color.String(), ""); bare != want || color.String() == want {
		t.Errorf("in colour:\n%q", color.String())
	}
}
