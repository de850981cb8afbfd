package holdfast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

const injected = `
global_defs {
    router_id lb1
    smtp_server mail.example.org
    notification_email { ops@example.org }
}
vrrp_instance web {
    interface ` + vrrptest.Interface + `
    virtual_router_id 51
    priority 100
    virtual_ipaddress { 10.0.0.100/24 }
}
virtual_server 10.0.0.100 80 {
    protocol TCP
    lb_algo rr
    lb_kind DR
    delay_loop 60
    real_server 10.0.0.11 80 {
        TCP_CHECK { connect_timeout 7 }
    }
    real_server 10.0.0.12 80 {
        HTTP_GET { url { path / } }
    }
}
`

// TestEverythingCanBeInjected: a Controller of a configuration touches nothing of the host that a test did not give it, not even
// its clock: an hour passes in no time, with a table, a network, checkers, a mail server and a log of the test's own.
func TestEverythingCanBeInjected(t *testing.T) {
	cfg, diags := config.Read("k.conf", []byte(injected))
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		scripts := make(map[string]*checktest.Script)
		factory := func(c *config.Check, g *config.Global) (check.Checker, error) {
			name := fmt.Sprintf("%s at line %d for %v by %s", c.Kind, c.Pos.Line, c.ConnectTimeout, g.RouterID)
			scripts[name] = &checktest.Script{}
			return scripts[name], nil
		}
		spec, err := Translator{Checkers: map[string]CheckerFactory{"TCP_CHECK": factory, "HTTP_GET": factory}}.Spec(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		box, lan, table := &mailbox{}, vrrptest.NewLAN(), &ipvstest.Fake{}
		c := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Table: table, Network: lan.Host("10.0.0.1"), Dial: box.dial})
		if err := c.Apply(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(time.Hour)
		web := scripts["TCP_CHECK at line 19 for 7s by lb1"]
		if web == nil || len(scripts) != 2 {
			t.Fatalf("checkers %v", scripts)
		}
		web.Down()
		time.Sleep(time.Hour)
		if got := table.Dump(); strings.Contains(got, "10.0.0.11") || !strings.Contains(got, "-r 10.0.0.12:80") {
			t.Errorf("the table is\n%s", got)
		}
		if got := lan.Holders("10.0.0.100"); len(got) != 1 {
			t.Errorf("the address is on %v", got)
		}
		wantLines(t, "mails", box.subjects(), "[lb1] server 10.0.0.11:80 of TCP 10.0.0.100:80 is DOWN")
		for _, want := range []string{"msg=transition instance=web from=BACKUP to=MASTER", checktest.ErrDown.Error()} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, log.String())
			}
		}
		cancel()
		if err := <-ended; err != nil || table.Dump() != "" {
			t.Errorf("the end: %v\n%s", err, table.Dump())
		}
	})
	_, err := Translator{Checkers: map[string]CheckerFactory{"TCP_CHECK": func(c *config.Check, _ *config.Global) (check.Checker, error) {
		return nil, fmt.Errorf("%v: %w", c.Pos, errors.ErrUnsupported)
	}}}.Spec(cfg)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "k.conf:19:9") {
		t.Errorf("a factory that makes nothing: %v", err)
	}
}
