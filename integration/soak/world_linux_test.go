package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

var vip = netip.MustParseAddr("10.9.0.100")

const (
	firstPort = 8000
	services  = 200
	untouched = 10 // the first of them, which edits leave alone: the client asks these
)

// service is one of the services as the configuration has it now.
type service struct {
	port    int
	weights [3]int
	absent  bool
}

// world is two directors, three web servers and a client on one switch.
type world struct {
	*testing.T
	rand      *rand.Rand
	dir       string
	directors []*director
	webs      []*lab.Host
	services  []service
	client    *client
	lag       atomic.Int64 // how long the machine has been elsewhere in all, in nanoseconds
}

func newWorld(t *testing.T, r *rand.Rand) *world {
	dir, err := os.MkdirTemp("/run", "soak-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, rand: r, dir: dir}
	for i := range services {
		w.services = append(w.services, service{port: firstPort + i, weights: [3]int{1, 1, 1}})
	}
	n := lab.New(t)
	for i := range 3 {
		w.webs = append(w.webs, newWeb(n, i))
	}
	slow := filepath.Join(dir, "slow.sh")
	if err := os.WriteFile(slow, []byte("#!/bin/sh\nsleep 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"a", "b"} {
		h := n.Host(name, fmt.Sprintf("10.9.0.%d/24", i+1))
		h.MustRun("ipvsadm", "-A", "-t", "203.0.113.9:80", "-s", "rr") // a stranger's
		d := &director{host: h, priority: 150 - 50*i, file: filepath.Join(dir, name+".conf"), socket: filepath.Join(dir, name+".sock"), fullDisk: i == 1}
		w.directors = append(w.directors, d)
		d.start(w)
	}
	go w.measureLag()
	w.client = newClient(t, n.Host("client", "10.9.0.50/24"), &w.lag)
	return w
}

// measureLag adds up by how much sleeps are too long: what is promised is so on a machine that has time for it.
func (w *world) measureLag() {
	const nap = 10 * time.Millisecond
	for w.Context().Err() == nil {
		begin := time.Now()
		time.Sleep(nap)
		if late := time.Since(begin) - nap; late > nap {
			w.lag.Add(int64(late))
		}
	}
}

// newWeb is a host that answers on all ports, for the virtual address too.
func newWeb(n *lab.Net, i int) *lab.Host {
	h := n.Host(fmt.Sprintf("web%d", i+1), fmt.Sprintf("10.9.0.%d/24", 11+i))
	h.Sysctl("net.ipv4.conf.all.arp_ignore", "1")
	h.Sysctl("net.ipv4.conf.all.arp_announce", "2")
	h.MustRun("ip", "addr", "add", vip.String()+"/32", "dev", "lo")
	for s := range services {
		go serve(h.Listen(fmt.Sprintf(":%d", firstPort+s)))
	}
	return h
}

func serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "well\n")
		conn.Close()
	}
}

// director is one of the two, run again after each of its ends.
type director struct {
	host          *lab.Host
	priority      int
	file, socket  string
	fullDisk      bool   // for its log
	planned, plan string // the last configuration, and the table that it asks for
	process       *lab.Process
	events        *listener
	base          cost // once it had settled
}

const status = ":9000"

func (d *director) start(w *world) {
	d.write(w, w.config(d))
	args := []string{"run", "-f", d.file, "--status", status, "--control", d.socket}
	if d.fullDisk {
		args = append([]string{"-c", `exec "$0" "$@" 2>/dev/full`, lab.Bin("director")}, args...)
		d.process = d.host.Start(w.Context(), "sh", args...)
	} else {
		d.process = d.host.Start(w.Context(), lab.Bin("director"), args...)
	}
	w.within(30*time.Second, d.host.Name+" answers", func() bool { _, err := d.status(); return err == nil })
	d.events = listen(w.T, d)
	d.base = cost{}
}

func (d *director) write(w *world, text string) {
	if err := os.WriteFile(d.file, []byte(text), 0o644); err != nil {
		w.Fatal(err)
	}
}

func (d *director) hup(w *world) {
	if err := d.process.Signal(syscall.SIGHUP); err != nil {
		w.Error(err)
	}
}

func (d *director) reload(w *world) {
	d.write(w, w.config(d))
	d.hup(w)
}

// http asks the director's status server.
func (d *director) http(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{DialContext: d.host.DialContext, DisableKeepAlives: true}}
}

func (d *director) get(path string) ([]byte, error) {
	r, err := d.http(10 * time.Second).Get("http://127.0.0.1" + status + path)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

func (d *director) status() (s holdfast.Status, err error) {
	text, err := d.get("/status")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// table is the kernel's, sorted by line.
func (d *director) table() string { return sorted(d.host.MustRun("ipvsadm", "-Sn")) }

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// strangers is what others have in its table.
func (w *world) strangers(*director) string { return "-A -t 203.0.113.9:80 -s rr\n" }

// wanted is what plan says that the file asks for, and what strangers have.
func (w *world) wanted(d *director) string {
	if text := w.config(d); d.planned != text {
		d.planned, d.plan = text, w.plan(d)
	}
	return d.plan
}

func (w *world) plan(d *director) string {
	out, err := exec.Command(lab.Bin("director"), "plan", d.file).Output()
	if err != nil {
		w.Fatalf("plan: %v", err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "-") {
			b.WriteString(line)
		}
	}
	return sorted(b.String() + w.strangers(d))
}

func (w *world) config(d *director) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n router_id soak\n script_user root\n}\nvrrp_sync_group G {\n group {\n web\n other\n }\n}\n")
	for i, name := range []string{"web", "other"} {
		fmt.Fprintf(&b, "vrrp_instance %s {\n interface eth0\n virtual_router_id %d\n version 3\n advert_int 0.2\n priority %d\n garp_master_delay 1\n"+
			" notify %s/slow.sh\n virtual_ipaddress {\n 10.9.0.%d/24\n }\n}\n", name, 51+i, d.priority, w.dir, 100+i)
	}
	for _, s := range w.services {
		if s.absent {
			continue
		}
		fmt.Fprintf(&b, "virtual_server %v %d {\n lb_algo rr\n lb_kind DR\n protocol TCP\n delay_loop 6\n", vip, s.port)
		for i, weight := range s.weights {
			fmt.Fprintf(&b, " real_server 10.9.0.%d %d {\n weight %d\n TCP_CHECK {\n connect_timeout 2\n retry 1\n delay_before_retry 1\n warmup 6\n }\n }\n", 11+i, s.port, weight)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// edit changes one service in ten.
func (w *world) edit() {
	for range services / 10 {
		s := &w.services[untouched+w.rand.IntN(services-untouched)]
		switch w.rand.IntN(3) {
		case 0:
			s.absent = !s.absent
		default:
			s.weights[w.rand.IntN(3)] = 1 + w.rand.IntN(100)
		}
	}
}

func (w *world) any() *director { return w.directors[w.rand.IntN(len(w.directors))] }

func (w *world) pause(d time.Duration) { <-time.After(d) }

// within polls the real thing.
func (w *world) within(limit time.Duration, what string, met func() bool) {
	w.Helper()
	for start := time.Now(); !met(); w.pause(50 * time.Millisecond) {
		if time.Since(start) > limit {
			w.Fatalf("not within %v: %s%s", limit, what, w.scene())
		}
	}
}

// scene is what the directors say and have, for whoever reads of a failure.
func (w *world) scene() string {
	var b strings.Builder
	for _, d := range w.directors {
		s, err := d.status()
		fmt.Fprintf(&b, "\n%s: %v, addresses %v, table as wanted: %v", d.host.Name, err, d.host.Addrs(), d.table() == w.wanted(d))
		for _, in := range s.Instances {
			fmt.Fprintf(&b, "\n  %s is %v since %v, master %v", in.Instance.Name, in.State, in.Since, in.Master)
		}
		if !d.fullDisk {
			out := d.process.Output()
			b.WriteString("\n" + out[max(0, len(out)-4000):])
		}
	}
	return b.String()
}

// settled waits until one director has both addresses and says so, and both tables are what configuration and health say.
func (w *world) settled(after string, limit time.Duration) {
	w.Helper()
	w.within(limit, after+": one MASTER", w.oneMaster)
	for _, d := range w.directors {
		w.within(limit, after+": the table of "+d.host.Name, func() bool { return d.table() == w.wanted(d) })
	}
}

func (w *world) oneMaster() bool {
	holders := 0
	for _, d := range w.directors {
		s, err := d.status()
		if err != nil || len(s.Instances) != 2 || s.Instances[0].State != s.Instances[1].State {
			return false
		}
		holds := d.host.Has(vip) && d.host.Has(vip.Next())
		if holds != (s.Instances[0].State == vrrp.Master) {
			return false
		}
		if holds {
			holders++
		}
	}
	return holders == 1
}

// play does one fault, and holds the client's errors to its promise, which is longer by what the machine was elsewhere.
func (w *world) play(f fault) {
	w.Helper()
	w.Logf("%s  %s", time.Now().Format("15:04:05.0"), f.name)
	from, lag := time.Now(), w.lag.Load()
	f.do(w)
	did := time.Now()
	w.settled(f.name, 40*time.Second)
	w.baseline()
	late := func() time.Duration { return time.Duration(w.lag.Load() - lag).Round(time.Millisecond) }
	if f.promised > 0 || late() > time.Second {
		w.Logf("%s: the machine was elsewhere for %v", f.name, late())
		until := func() time.Time { return did.Add(f.promised + late()) }
		for time.Now().Before(until()) {
			w.pause(time.Until(until()))
		}
		w.client.forgive(from, until())
	}
	w.pause(time.Second)
	for _, e := range w.client.take() {
		w.Errorf("%s: the client's question of %s failed: %v", f.name, e.at.Format("15:04:05.000"), e.err)
	}
}

// baseline notes what the directors that are new cost.
func (w *world) baseline() {
	for _, d := range w.directors {
		if d.base == (cost{}) {
			d.base = w.cost(d)
		}
	}
}

// cost is what grows when something leaks.
type cost struct{ goroutines, descriptors, memory int }

var metric = regexp.MustCompile(`(?m)^(go_goroutines|process_open_fds|process_resident_memory_bytes) (\S+)$`)

func (w *world) cost(d *director) (c cost) {
	text, err := d.get("/metrics")
	if err != nil {
		w.Fatal(err)
	}
	for _, m := range metric.FindAllStringSubmatch(string(text), -1) {
		v, _ := strconv.ParseFloat(m[2], 64)
		switch m[1] {
		case "go_goroutines":
			c.goroutines = int(v)
		case "process_open_fds":
			c.descriptors = int(v)
		default:
			c.memory = int(v) >> 20
		}
	}
	if c.goroutines == 0 || c.descriptors == 0 || c.memory == 0 {
		w.Fatalf("metrics of %s lack what tells leaks: %+v", d.host.Name, c)
	}
	return c
}

// judge is the end.
func (w *world) judge() {
	asked := w.client.stop()
	if asked == 0 {
		w.Error("the client asked nothing")
	}
	w.pause(3 * time.Second) // checks under way have their descriptors
	for _, d := range w.directors {
		now := w.cost(d)
		w.Logf("%s: %+v, once settled %+v", d.host.Name, now, d.base)
		if now.goroutines > d.base.goroutines+100 || now.descriptors > d.base.descriptors+300 || now.memory > 2*d.base.memory+20 {
			w.Errorf("%s leaks: %+v, once settled %+v", d.host.Name, now, d.base)
		}
		w.Logf("%s: %d events", d.host.Name, d.events.close())
		if status := d.process.Stop(); status != 0 {
			w.Errorf("%s ended with status %d", d.host.Name, status)
		}
		if got := d.table(); got != w.strangers(d) || d.host.Has(vip) {
			w.Errorf("%s left behind: the address %v, and\n%s", d.host.Name, d.host.Has(vip), got)
		}
	}
	w.Logf("the client asked %d times", asked)
}

// listener reads the events of one run of a director, and misses none.
type listener struct {
	cancel context.CancelFunc
	done   chan int
}

func listen(t *testing.T, d *director) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{cancel: cancel, done: make(chan int, 1)}
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1"+status+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.http(0).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer answer.Body.Close()
		var last uint64
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			data, is := strings.CutPrefix(lines.Text(), "data: ")
			var e holdfast.Event
			if !is || json.Unmarshal([]byte(data), &e) != nil {
				continue
			}
			if e.Missed > 0 || last > 0 && e.Seq != last+1 {
				t.Errorf("%s: event %d follows %d, %d were missed", d.host.Name, e.Seq, last, e.Missed)
			}
			last = e.Seq
		}
		l.done <- int(last)
	}()
	return l
}

// close tells how many events there were.
func (l *listener) close() int { l.cancel(); return <-l.done }

// client asks the services that edits leave alone, one question after the other.
type client struct {
	end    context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex // guards the fields below
	asked  int
	failed []failure
}

type failure struct {
	at  time.Time
	err error
}

// tooLate is how much a question's machine may be elsewhere: with more, its failure says nothing.
const tooLate = 500 * time.Millisecond

func newClient(t *testing.T, h *lab.Host, lag *atomic.Int64) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{end: cancel, done: make(chan struct{})}
	t.Cleanup(func() { cancel(); <-c.done })
	go func() {
		defer close(c.done)
		for n := 0; ctx.Err() == nil; n++ {
			at, before := time.Now(), lag.Load()
			err := ask(ctx, h, firstPort+n%untouched)
			if ctx.Err() == nil && (err == nil || time.Duration(lag.Load()-before) < tooLate) {
				c.note(at, err)
			}
			time.Sleep(30 * time.Millisecond)
		}
	}()
	return c
}

// patience is long enough for a packet that is lost to be sent again, in a kernel that is slow.
const patience = 4 * time.Second

func ask(ctx context.Context, h *lab.Host, port int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := h.DialContext(ctx, "tcp", netip.AddrPortFrom(vip, uint16(port)).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(conn)
	if err == nil && string(text) != "well\n" {
		err = fmt.Errorf("the answer is %q", text)
	}
	return err
}

func (c *client) note(at time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if err != nil {
		c.failed = append(c.failed, failure{at, err})
	}
}

// forgive forgets the failures of a while.
func (c *client) forgive(from, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = slices.DeleteFunc(c.failed, func(f failure) bool { return f.at.After(from.Add(-patience)) && f.at.Before(until) })
}

// take gives the failures so far, and forgets them.
func (c *client) take() (list []failure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, c.failed = c.failed, nil
	return list
}

func (c *client) stop() (asked int) { c.end(); <-c.done; return c.asked }
