package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/examples/internal/scene"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// The two checks. Their timing is the same.
const (
	tcpCheck = `TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }`
	httpCheck = `HTTP_GET {
            url {
                path /
                status_code 200
            }
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }`
)

const vip = "10.9.0.100"

// conf is the load balancer's keepalived.conf with a check for each real server.
func conf(check string) string {
	real := func(addr string) string {
		return "    real_server " + addr + " 80 {\n        " + check + "\n    }\n"
	}
	return `vrrp_instance web {
    interface eth0
    virtual_router_id 51
    version 3
    advert_int 0.2
    virtual_ipaddress {
        ` + vip + `/24
    }
}
virtual_server ` + vip + ` 80 {
    delay_loop 1
    warmup 0
    lb_algo rr
    lb_kind DR
    protocol TCP
` + real("10.9.0.11") + real("10.9.0.12") + "}\n"
}

// promise is how long the configuration's own numbers allow a dead server to stay in the table, and a healthy one to stay
// out.
func promise(text string) (out, back time.Duration) {
	cfg, diags := config.Read("promise", []byte(text))
	spec, err := holdfast.FromConfig(cfg)
	if err != nil || diags.Err() != nil {
		panic(fmt.Sprint(err, diags.Err()))
	}
	p := spec.Services[0].Servers[0].Checks[0].Policy
	return p.Detection(), p.DelayLoop + 2*p.Timeout // one check may be on its way when the server comes back
}

// outcome is what one telling came to.
type outcome struct {
	check string
	// note is what director check says of the configuration.
	note string
	// out says that the sick server left the table, after took; allowed is what the configuration promises.
	out           bool
	took, allowed time.Duration
	// after is what the client saw once the sick server was out, or should have been.
	after scene.Report
	// back says that it returned to the table when its application did.
	back bool
}

func (o outcome) moral() string {
	if o.out {
		return fmt.Sprintf("%s: out after %.1f s of the %.1f s that the numbers promise; then %v.", o.check, o.took.Seconds(), o.allowed.Seconds(), o.after)
	}
	return fmt.Sprintf("%s: still in the table after %.1f s; meanwhile %v.", o.check, o.allowed.Seconds(), o.after)
}

// tell plays the outage under one check.
func tell(ctx context.Context, t lab.T, check string) outcome {
	kind, _, _ := strings.Cut(check, " ")
	text := conf(check)
	o := outcome{check: kind}
	allowed, back := promise(text)
	o.allowed = allowed
	line := scene.NewTimeline(t)
	s := scene.New(t)

	o.note = advice(t, s.File("checked.conf", text))
	line.Say("%s in front of two nginx, each in front of an application server", kind)
	if o.note != "" {
		line.Say("director check says: %s", o.note)
	}
	lb := s.Net.Host("lb", "10.9.0.1/24")
	_, _ = backend(ctx, s, "web1", "10.9.0.11/24")
	web2, stopApp := backend(ctx, s, "web2", "10.9.0.12/24")
	director := s.Director(ctx, lb, text)
	clients := s.Net.Host("client", "10.9.0.50/24")
	stream := s.Stream(ctx, clients, "http://"+vip+"/", 20*time.Millisecond, time.Second)
	if _, ok := s.Until(ctx, 20*time.Second, func() bool { return stream.Since(time.Now().Add(-time.Second)).OK > 5 }); !ok {
		t.Fatalf("the service does not work at all: %v\n%s", stream.Since(time.Time{}), director.Output())
	}
	begin := time.Now()
	scene.Pause(ctx, time.Second)
	line.Say("all is well: %v", stream.Since(begin))

	stopApp()
	line.Say("the application behind web2 goes away; its nginx still listens")
	begin = time.Now()
	o.took, o.out = s.Until(ctx, allowed+500*time.Millisecond, func() bool { return !s.InTable(lb, "10.9.0.12") })
	if o.out {
		line.Say("web2 is out of the kernel's table; until then %v", stream.Since(begin))
		begin = time.Now().Add(time.Second) // answers that were on their way
		scene.Pause(ctx, 2*time.Second)
	} else {
		line.Say("web2 is still in the kernel's table")
	}
	o.after = stream.Since(begin)
	line.Say("the client sees %v", o.after)

	s.Serve(web2, "127.0.0.1:9000", application("web2"))
	line.Say("the application behind web2 is back")
	var took time.Duration
	took, o.back = s.Until(ctx, back+500*time.Millisecond, func() bool { return s.InTable(lb, "10.9.0.12") })
	if o.back && o.out {
		line.Say("web2 is in the table again, after %.1f s", took.Seconds())
	}
	director.Stop()
	return o
}

// backend is a host with nginx in front of an application server.
func backend(ctx context.Context, s *scene.Scene, name, addr string) (*lab.Host, func()) {
	h := s.WebServer(name, addr, vip)
	stop := s.Serve(h, "127.0.0.1:9000", application(name))
	s.Nginx(ctx, h, "        location / { proxy_pass http://127.0.0.1:9000; }")
	return h, stop
}

func application(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
}

// advice is what director check says of TCP checks in a file.
func advice(t lab.T, file string) string {
	out, err := exec.Command(lab.Bin("director"), "check", file).Output()
	if err != nil {
		t.Fatalf("director check: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "tcp-check-http") {
			_, note, _ := strings.Cut(strings.TrimSpace(line), ".conf:")
			return note
		}
	}
	return ""
}
