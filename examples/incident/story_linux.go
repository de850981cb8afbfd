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

// telling is the outage being told.
type telling struct {
	*scene.Scene
	line          *scene.Timeline
	lb, web2      *lab.Host
	stopApp       func()
	director      *lab.Process
	stream        *scene.Stream
	outcome       outcome
	returnAllowed time.Duration
}

// tell plays the outage under one check.
func tell(ctx context.Context, t lab.T, check string) outcome {
	kind, _, _ := strings.Cut(check, " ")
	text := conf(check)
	y := &telling{Scene: scene.New(t), line: scene.NewTimeline(t), outcome: outcome{check: kind}}
	y.outcome.allowed, y.returnAllowed = promise(text)
	y.outcome.note = advice(t, y.File("checked.conf", text))
	y.line.Say("%s in front of two nginx, each in front of an application server", kind)
	if y.outcome.note != "" {
		y.line.Say("director check says: %s", y.outcome.note)
	}
	y.begin(ctx, text)
	y.loseApplication(ctx)
	y.bringItBack(ctx)
	y.director.Stop()
	return y.outcome
}

func (y *telling) begin(ctx context.Context, text string) {
	y.lb = y.Net.Host("lb", "10.9.0.1/24")
	backend(ctx, y.Scene, "web1", "10.9.0.11/24")
	y.web2, y.stopApp = backend(ctx, y.Scene, "web2", "10.9.0.12/24")
	y.director = y.Director(ctx, y.lb, text)
	clients := y.Net.Host("client", "10.9.0.50/24")
	y.stream = y.Stream(ctx, clients, "http://"+vip+"/", 20*time.Millisecond, time.Second)
	if _, ok := y.Until(ctx, 20*time.Second, func() bool { return y.stream.Since(time.Now().Add(-time.Second)).OK > 5 }); !ok {
		y.T.Fatalf("the service does not work at all: %v\n%s", y.stream.Since(time.Time{}), y.director.Output())
	}
	begin := time.Now()
	scene.Pause(ctx, time.Second)
	y.line.Say("all is well: %v", y.stream.Since(begin))
}

func (y *telling) loseApplication(ctx context.Context) {
	o := &y.outcome
	y.stopApp()
	y.line.Say("the application behind web2 goes away; its nginx still listens")
	begin := time.Now()
	o.took, o.out = y.Until(ctx, o.allowed+500*time.Millisecond, func() bool { return !y.InTable(y.lb, "10.9.0.12") })
	if o.out {
		y.line.Say("web2 is out of the kernel's table; until then %v", y.stream.Since(begin))
		begin = time.Now().Add(time.Second) // answers that were on their way
		scene.Pause(ctx, 2*time.Second)
	} else {
		y.line.Say("web2 is still in the kernel's table")
	}
	o.after = y.stream.Since(begin)
	y.line.Say("the client sees %v", o.after)
}

func (y *telling) bringItBack(ctx context.Context) {
	y.Serve(y.web2, "127.0.0.1:9000", application("web2"))
	y.line.Say("the application behind web2 is back")
	took, back := y.Until(ctx, y.returnAllowed+500*time.Millisecond, func() bool { return y.InTable(y.lb, "10.9.0.12") })
	if y.outcome.back = back; back && y.outcome.out {
		y.line.Say("web2 is in the table again, after %.1f s", took.Seconds())
	}
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
