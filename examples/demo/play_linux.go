package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/examples/internal/scene"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

const vip = "10.9.0.100"

// conf is the keepalived.conf of a director.
func conf(priority int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `vrrp_instance web {
    interface eth0
    virtual_router_id 51
    version 3
    advert_int 0.2
    priority %d
    virtual_ipaddress {
        %s/24
    }
}
virtual_server %s 80 {
    delay_loop 1
    connect_timeout 1
    retry 1
    delay_before_retry 0.5
    warmup 0
    lb_algo rr
    lb_kind DR
    protocol TCP
`, priority, vip, vip)
	for _, addr := range []string{"10.9.0.11", "10.9.0.12", "10.9.0.13"} {
		fmt.Fprintf(&b, "    real_server %s 80 {\n        HTTP_GET {\n            url {\n                path /\n                status_code 200\n            }\n        }\n    }\n", addr)
	}
	return b.String() + "}\n"
}

// show is the demo's cast, and what it measures.
type show struct {
	*scene.Scene
	line   *scene.Timeline
	hosts  map[string]*lab.Host
	procs  map[string]*lab.Process
	stream *scene.Stream
	result result
}

// result is what the client saw, act by act.
type result struct {
	start, webDead, directorDead, healed, left scene.Report
	webOut, takeover                           time.Duration
	ends                                       string // who holds the address at the end
}

func play(ctx context.Context, t lab.T) result {
	s := &show{Scene: scene.New(t), line: scene.NewTimeline(t), hosts: map[string]*lab.Host{}, procs: map[string]*lab.Process{}}
	s.begin(ctx)
	s.killWebServer(ctx)
	s.killDirector(ctx)
	s.heal(ctx)
	s.leave(ctx)
	s.line.Say("end: nothing of this is left on the machine")
	return s.result
}

func (s *show) begin(ctx context.Context) {
	for i, name := range []string{"web1", "web2", "web3"} {
		s.hosts[name] = s.WebServer(name, fmt.Sprintf("10.9.0.%d/24", 11+i), vip)
		s.startWeb(ctx, name)
	}
	for i, name := range []string{"A", "B"} {
		s.hosts[name] = s.Net.Host(name, fmt.Sprintf("10.9.0.%d/24", 1+i))
		s.startDirector(ctx, name)
	}
	s.stream = s.Scene.Stream(ctx, s.Net.Host("client", "10.9.0.50/24"), "http://"+vip+"/", 10*time.Millisecond, 250*time.Millisecond)
	s.must(ctx, "the service answers", func() bool { return s.holder() == "A" && s.stream.Since(time.Now().Add(-time.Second)).OK > 20 })
	begin := time.Now()
	scene.Pause(ctx, 2*time.Second)
	s.result.start = s.stream.Since(begin)
	s.line.Say("director A is MASTER of %s, B is BACKUP; the client sees %v", vip, s.result.start)
}

func (s *show) killWebServer(ctx context.Context) {
	begin := time.Now()
	s.procs["web2"].Kill()
	s.line.Say("web server web2 is killed")
	s.result.webOut = s.must(ctx, "web2 leaves the table", func() bool { return !s.InTable(s.hosts["A"], "10.9.0.12") })
	s.line.Say("web2 is out of the kernel's table after %.1f s; until then %v", s.result.webOut.Seconds(), s.stream.Since(begin))
	scene.Pause(ctx, 300*time.Millisecond) // answers on their way
	begin = time.Now()
	scene.Pause(ctx, 2*time.Second)
	s.result.webDead = s.stream.Since(begin)
	s.line.Say("from then on %v", s.result.webDead)
}

// killDirector pulls the plug: no last advert, no clean-up.
func (s *show) killDirector(ctx context.Context) {
	begin := time.Now()
	s.hosts["A"].Cut()
	s.procs["A"].Kill()
	s.line.Say("director A, the MASTER, is unplugged")
	s.result.takeover = s.must(ctx, "B takes over", func() bool { return s.hosts["B"].Has(netip.MustParseAddr(vip)) })
	scene.Pause(ctx, 2*time.Second)
	s.result.directorDead = s.stream.Since(begin)
	s.line.Say("director B took over after %.2f s; the client's longest gap was %.2f s", s.result.takeover.Seconds(), s.result.directorDead.Gap.Seconds())
}

func (s *show) heal(ctx context.Context) {
	begin := time.Now()
	s.hosts["A"].MustRun("ip", "addr", "del", vip+"/24", "dev", "eth0") // as after a reboot
	s.hosts["A"].MustRun("ipvsadm", "-C")
	s.hosts["A"].Restore()
	s.startDirector(ctx, "A")
	s.startWeb(ctx, "web2")
	s.must(ctx, "all is as it was", func() bool {
		return s.holder() == "A" && s.InTable(s.hosts["A"], "10.9.0.12") && s.InTable(s.hosts["B"], "10.9.0.12")
	})
	scene.Pause(ctx, time.Second)
	s.result.healed = s.stream.Since(begin)
	s.line.Say("A and web2 are back: A is MASTER again, the client's longest gap was %.2f s", s.result.healed.Gap.Seconds())
}

// leave asks A to go, as an operator would.
func (s *show) leave(ctx context.Context) {
	begin := time.Now()
	status := s.procs["A"].Stop()
	s.must(ctx, "B takes over", func() bool { return s.holder() == "B" })
	scene.Pause(ctx, time.Second)
	s.result.left, s.result.ends = s.stream.Since(begin), s.holder()
	if table := s.Table(s.hosts["A"]); status != 0 || table != "" {
		s.T.Fatalf("A left with status %d and this in its table:\n%s", status, table)
	}
	s.line.Say("A is asked to leave: B takes over, the client's longest gap was %.2f s; A's kernel is clean", s.result.left.Gap.Seconds())
}

func (s *show) startWeb(ctx context.Context, name string) {
	s.procs[name] = s.Nginx(ctx, s.hosts[name], `        location / { return 200 "`+name+`\n"; }`)
}

func (s *show) startDirector(ctx context.Context, name string) {
	priority := map[string]int{"A": 150, "B": 100}[name]
	s.procs[name] = s.Director(ctx, s.hosts[name], conf(priority))
}

// holder is who has the virtual IP: A, B, both or none.
func (s *show) holder() string {
	var holders string
	for _, name := range []string{"A", "B"} {
		if s.hosts[name].Has(netip.MustParseAddr(vip)) {
			holders += name
		}
	}
	return holders
}

// must waits up to 20 s.
func (s *show) must(ctx context.Context, what string, met func() bool) time.Duration {
	took, ok := s.Until(ctx, 20*time.Second, met)
	if !ok {
		for name, p := range s.procs {
			s.T.Logf("%s printed:\n%s", name, p.Output())
		}
		s.T.Fatalf("demo: gave up waiting for this: %s", what)
	}
	return took
}
