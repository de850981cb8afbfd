package integration

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/observe"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// pictures names a folder to keep the screenshots in: make pictures sets it.
var pictures = os.Getenv("HOLDFAST_PICTURES")

// browser starts a headless Chromium that talks to nobody but the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	lab.Need(t, "chromium")
	flags := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.Headless,
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("lang", "en-GB"), chromedp.WindowSize(1360, 900), chromedp.WSURLReadTimeout(60 * time.Second),
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page threw: %v", e.ExceptionDetails)
		case *runtime.EventConsoleAPICalled:
			t.Logf("the page says: %s", e.Args[0].Value)
		}
	}))
	t.Cleanup(cancel)
	return ctx
}

// busyTable is a table in memory whose servers have clients.
type busyTable struct {
	*ipvstest.Fake
	age atomic.Uint64
}

func (b *busyTable) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	all, err := b.Fake.Services(ctx)
	age := b.age.Add(1)
	for i := range all {
		s := &all[i]
		for j := range s.Destinations {
			d := &s.Destinations[j]
			n := uint64(37*(i+2) + 11*j)
			d.ActiveConnections, d.InactiveConnections = int(n)*d.Weight, int(n/3)
			d.Stats = traffic(n * (400 + age))
		}
		s.Stats = traffic(uint64(37*(i+2)) * 4 * (400 + age))
	}
	return all, err
}

func traffic(connections uint64) ipvs.Stats {
	return ipvs.Stats{Connections: connections, BytesIn: connections * 1900, BytesOut: connections * 42_000}
}

// site is what a director of a small shop might hold, on a LAN and a table in memory.
type site struct {
	lan     *vrrptest.LAN
	c       *holdfast.Controller
	scripts map[string]*checktest.Script
	spec    holdfast.Spec
	o       *observe.Observer
	url     string
}

func newSite(name string) *site {
	s := &site{lan: vrrptest.NewLAN(), scripts: make(map[string]*checktest.Script)}
	for i, in := range []struct{ name, addrs string }{{"web", "192.0.2.10/24 192.0.2.11/24"}, {"api", "192.0.2.20/24"}, {"mail", "192.0.2.30/24"}} {
		s.spec.Instances = append(s.spec.Instances, vrrp.Instance{
			Name: in.name, Interface: vrrptest.Interface, VRID: uint8(51 + i), Priority: uint8(150 - 60*(i/2)), Addrs: vrrp.MustAddresses(strings.Fields(in.addrs)...), Interval: 100 * time.Millisecond,
		})
	}
	s.add("192.0.2.10:80", "wlc", "HTTP_GET /health", 4)
	s.add("192.0.2.10:443", "wlc", "SSL_GET /health", 4)
	s.add("192.0.2.20:8443", "mh", "HTTP_GET /ready", 6)
	s.add("192.0.2.30:25", "rr", "SMTP_CHECK", 2)
	s.add("192.0.2.30:993", "lc", "TCP_CHECK", 2)
	return s
}

func (s *site) add(addr, scheduler, checker string, servers int) {
	service := holdfast.Service{Service: ipvs.Service{ServiceKey: tcp(addr), Scheduler: scheduler}}
	for i := range servers {
		target := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(len(s.spec.Services)), byte(11 + i)}), service.Addr.Port())
		script := &checktest.Script{Takes: time.Duration(700+130*i) * time.Microsecond}
		s.scripts[target.String()] = script
		service.Servers = append(service.Servers, server(target, checker, script, 1+i%2))
	}
	s.spec.Services = append(s.spec.Services, service)
}

func tcp(addr string) ipvs.ServiceKey {
	return ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort(addr)}
}

func server(target netip.AddrPort, name string, c check.Checker, weight int) holdfast.Server {
	policy := check.Policy{DelayLoop: 200 * time.Millisecond, Retry: 1, DelayBeforeRetry: 100 * time.Millisecond, Warmup: -1, Timeout: time.Second}
	return holdfast.Server{
		RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: target, Forward: ipvs.Direct, Weight: weight}},
		Checks:     []check.Probe{{ID: name, Checker: c, Policy: policy}},
	}
}

// run holds the site and serves its page on loopback until the test ends.
func (s *site) run(t *testing.T, name string) {
	t.Helper()
	s.c = holdfast.New(holdfast.Options{Network: s.lan.Host("192.0.2.2"), Table: &busyTable{Fake: &ipvstest.Fake{}}, RepairInterval: 200 * time.Millisecond})
	o := observe.New(s.c, observe.Options{Name: name, Version: "0.3"})
	s.o = o
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String() + "/"
	if err := s.c.Apply(t.Context(), s.spec); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- s.c.Run(ctx) }()
	go func() { ended <- o.Run(ctx) }()
	go func() { ended <- observe.Serve(ctx, l, o.Handler()) }()
	t.Cleanup(func() {
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	<-s.c.Ready()
}

func visit(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
}

// evaluate gives the value of an expression in the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// shows polls the text of an element of the page until it contains what is wanted.
func shows(t *testing.T, ctx context.Context, selector, want string) {
	t.Helper()
	limit := time.Now().Add(time.Minute)
	for {
		got := evaluate[string](t, ctx, fmt.Sprintf("document.querySelector(%q)?.textContent ?? \"\"", selector))
		if strings.Contains(got, want) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: %q does not contain %q", selector, got, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// watchDOM notes in the page when a server's state first reads DOWN there, by the clock that the events go by as well: both
// are this machine's.
const watchDOM = `new MutationObserver(() => {
	const row = [...document.querySelectorAll(".row")].find((r) => r.textContent.includes(%q));
	if (!window.shownAt && row && row.dataset.tone === "warn") window.shownAt = Date.now();
}).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true}); "watching"`

// TestPageShowsADestinationDie: a listener goes away; the check notices, and the page shows it within a second of that,
// without being asked to. So it does with a claim of an address of the MASTER's.
func TestPageShowsADestinationDie(t *testing.T) {
	lab.Need(t, "chromium")
	t.Parallel()
	s := newSite("lb1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	real := netip.MustParseAddrPort(l.Addr().String())
	s.spec.Services[0].Servers[2] = server(real, "TCP_CHECK", check.TCP{Target: check.Target{Addr: real}}, 1)
	s.run(t, "lb1.example.net")
	events := s.c.Subscribe(1000)
	ctx := browser(t)
	visit(t, ctx, s.url)
	shows(t, ctx, "#verdict h1", "Everything is up.")
	shows(t, ctx, "#routers", "MASTER")
	shows(t, ctx, "#live", "live")
	evaluate[string](t, ctx, fmt.Sprintf(watchDOM, "192.0.2.10:80"))
	for range 2 { // when the second check comes, the first has found it well
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	l.Close()
	noticed := awaitDown(t, events, real.String())
	shows(t, ctx, "#verdict h1", "1 server is down.")
	shows(t, ctx, "#attention", "connection refused")
	shows(t, ctx, "#timeline", "noticed after")
	shown := evaluate[float64](t, ctx, "window.shownAt || 0")
	delay := time.UnixMilli(int64(shown)).Sub(noticed.Time)
	t.Logf("noticed %v after the last good check, shown %v later", noticed.Took, delay)
	if shown == 0 || delay > time.Second {
		t.Errorf("the page showed it after %v", delay)
	}
	s.lan.Claim(netip.MustParseAddr("192.0.2.10"), [6]byte{2, 0, 0, 0xbe, 0xef, 1})
	shows(t, ctx, "#timeline", "02:00:00:be:ef:01 says that it has this address")
	shows(t, ctx, "#routers", "conflicts claim 1")
}

func awaitDown(t *testing.T, events *holdfast.Subscription, server string) holdfast.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		e, err := events.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == holdfast.EventServer && e.To == "DOWN" && strings.HasSuffix(e.Object, server) {
			return e
		}
	}
}

// TestPagePictures: a host with some history, as a desktop in both themes and as a phone. Nothing is wider than the screen.
func TestPagePictures(t *testing.T) {
	lab.Need(t, "chromium")
	t.Parallel()
	s := newSite("lb1")
	rival := holdfast.New(holdfast.Options{Network: s.lan.Host("192.0.2.3")})
	theirs := holdfast.Spec{}
	for i, in := range s.spec.Instances {
		in.Priority = uint8(120 + 0*i)
		theirs.Instances = append(theirs.Instances, in)
	}
	if err := rival.Apply(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	peer, stop := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- rival.Run(peer) }()
	defer func() { stop(); <-left }()
	<-rival.Ready()
	time.Sleep(time.Second) // the peer is MASTER of all
	s.run(t, "lb1.example.net")
	ctx := browser(t)
	visit(t, ctx, s.url)
	shows(t, ctx, "#verdict", "MASTER of 2 of 3")
	s.scripts["10.1.1.12:443"].Fail(fmt.Errorf("https://10.1.1.12:443/health: certificate expired 2 days ago"))
	shows(t, ctx, "#verdict h1", "1 server is down.")
	s.scripts["10.1.1.12:443"].Up()
	shows(t, ctx, "#verdict h1", "Everything is up.")
	s.scripts["10.1.0.13:80"].Fail(fmt.Errorf("http://10.1.0.13:80/health: status 503, wanted 200"))
	shows(t, ctx, "#attention", "wanted 200")
	key := holdfast.ServerKey{Service: "TCP 192.0.2.20:8443", Addr: netip.MustParseAddrPort("10.1.2.14:8443")}
	if err := s.c.SetServerMaintenance(t.Context(), key, true); err != nil {
		t.Fatal(err)
	}
	shows(t, ctx, "#verdict p", "maintenance")
	evaluate[bool](t, ctx, `document.querySelector("#attention details").open = true`)
	time.Sleep(2 * time.Second) // the flash fades, and rates are known
	for _, p := range []struct {
		name          string
		width, height int64
		scale         float64
		phone         bool
		theme         string
	}{
		{"observe.png", 1360, 900, 1, false, "light"},
		{"observe-dark.png", 1360, 900, 1, false, "dark"},
		{"observe-phone.png", 390, 844, 2, true, "light"},
	} {
		picture(t, ctx, p.name, p.width, p.height, p.scale, p.phone, p.theme)
	}
}

// TestPageWithManyServices: 2,000 services of four servers each are there, can be searched, and what is wrong stands first.
func TestPageWithManyServices(t *testing.T) {
	lab.Need(t, "chromium")
	t.Parallel()
	s := newSite("lb1")
	for i := range 2000 {
		s.add(fmt.Sprintf("198.51.%d.%d:80", i/250, 1+i%250), "wrr", "TCP_CHECK", 4)
	}
	for i := range s.spec.Services {
		for j := range s.spec.Services[i].Servers {
			s.spec.Services[i].Servers[j].Checks[0].Policy.DelayLoop = time.Minute
		}
	}
	s.run(t, "lb1.example.net")
	ctx := browser(t)
	begin := time.Now()
	visit(t, ctx, s.url)
	shows(t, ctx, "#verdict h1", "Everything is up.")
	shows(t, ctx, "#services .count", "2005")
	t.Logf("loaded in %v: %s", time.Since(begin), evaluate[string](t, ctx, `performance.getEntriesByType("resource").filter((r) => r.name.includes("status")).map((r) => r.encodedBodySize + " of " + r.decodedBodySize + " bytes in " + Math.round(r.duration) + " ms").join(", ")`))
	key := holdfast.ServerKey{Service: "TCP 198.51.7.100:80", Addr: s.spec.Services[1854].Servers[1].Addr}
	if s.spec.Services[1854].ServiceKey.String() != key.Service {
		t.Fatalf("the 1855th service is %v", s.spec.Services[1854].ServiceKey)
	}
	broken := s.spec.Services[1854].Servers[1]
	broken.Checks = []check.Probe{{ID: "file", Checker: check.CheckerFunc(func(context.Context) error { return fmt.Errorf("unplugged") }), Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}}}
	if err := s.c.SetServer(t.Context(), key.Service, broken); err != nil {
		t.Fatal(err)
	}
	shows(t, ctx, "#attention", "198.51.7.100:80")
	shows(t, ctx, "#attention .why", "unplugged")
	filtering := evaluate[float64](t, ctx, `(() => { const t = performance.now(); const f = document.querySelector("#filter"); f.value = "198.51.3.17:80"; f.dispatchEvent(new Event("input")); return performance.now() - t; })()`)
	shows(t, ctx, "#services .count", "1 of 2005")
	t.Logf("filtered in %.1f ms", filtering)
	evaluate[bool](t, ctx, `(() => { const f = document.querySelector("#filter"); f.value = ""; f.dispatchEvent(new Event("input")); document.querySelector("#problems").click(); return true; })()`)
	shows(t, ctx, "#services .count", "1 of 2005")
	if pictures != "" {
		picture(t, ctx, "observe-many.png", 1360, 900, 1, false, "light")
	}
}

func picture(t *testing.T, ctx context.Context, name string, width, height int64, scale float64, phone bool, scheme string) {
	t.Helper()
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale, Mobile: phone})
	if err != nil {
		t.Fatal(err)
	}
	theme := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: theme}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the page is laid out anew
	overflow := evaluate[int](t, ctx, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if overflow > 0 {
		t.Errorf("%s: the page is %d pixels wider than the screen", name, overflow)
	}
	if len(png) < 20_000 {
		t.Errorf("%s: %d bytes are no picture of this page", name, len(png))
	}
	if pictures == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(pictures, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPageHostileNames: markup in a name is shown as it is written, and nothing in it runs.
func TestPageHostileNames(t *testing.T) {
	lab.Need(t, "chromium")
	t.Parallel()
	const name = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	s := newSite("lb1")
	s.spec.Instances[0].Name = name
	s.spec.Services[0].Name = name
	s.spec.Services[0].Servers[0].Checks[0].ID = name
	s.scripts["10.1.0.11:80"].Fail(fmt.Errorf("%s", name))
	s.run(t, name)
	ctx := browser(t)
	visit(t, ctx, s.url)
	for _, place := range []string{".host", "#routers", "#attention .name", "#attention .why", "#timeline"} {
		shows(t, ctx, place, name)
	}
	evaluate[bool](t, ctx, `document.querySelector("#attention details").open = true`)
	shows(t, ctx, "#attention table", name)
	if evaluate[bool](t, ctx, `Boolean(window.hacked) || document.querySelectorAll("img").length > 0`) {
		t.Error("a name became markup")
	}
}

// TestPageOrder: what is down stands before what is degraded, and each goes back to its place when it is well again.
func TestPageOrder(t *testing.T) {
	lab.Need(t, "chromium")
	t.Parallel()
	s := newSite("lb1")
	s.run(t, "lb1.example.net")
	ctx := browser(t)
	visit(t, ctx, s.url)
	shows(t, ctx, "#verdict h1", "Everything is up.")
	evaluate[bool](t, ctx, `(() => { const e = document.createElement("p"); e.id = "order"; document.body.append(e);
		setInterval(() => e.textContent = [...document.querySelectorAll(".row .name > .mono")].map((n) => n.textContent.split(":").pop()).join(" "), 20); return true; })()`)
	shows(t, ctx, "#order", "80 443 8443 25 993")
	s.scripts["10.1.0.13:80"].Down()
	shows(t, ctx, "#attention", "192.0.2.10:80")
	s.scripts["10.1.3.11:25"].Down()
	s.scripts["10.1.3.12:25"].Down()
	shows(t, ctx, "#order", "25 80 443 8443 993")
	s.scripts["10.1.3.11:25"].Up()
	shows(t, ctx, "#order", "80 25 443 8443 993")
	s.scripts["10.1.3.12:25"].Up()
	s.scripts["10.1.0.13:80"].Up()
	shows(t, ctx, "#order", "80 443 8443 25 993")
	reloaded := func(to, reason string) {
		if err := s.c.Publish(holdfast.Event{Kind: holdfast.EventReload, Object: "k.conf", To: to, Reason: reason, Took: 3 * time.Millisecond}); err != nil {
			t.Error(err)
		}
	}
	reloaded("REFUSED", "k.conf:3:1: unknown keyword")
	shows(t, ctx, "#verdict h1", "The last reload was refused.")
	shows(t, ctx, "#verdict p", "k.conf:3:1")
	shows(t, ctx, "#timeline", "reload of k.conf REFUSED")
	reloaded("SCHEDULED", "at noon")
	shows(t, ctx, "#verdict p", "A reload is to come: at noon.")
	reloaded("OK", "nothing changed")
	shows(t, ctx, "#verdict h1", "Everything is up.")
}
