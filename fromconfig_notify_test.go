package holdfast_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
)

const notifying = `
global_defs {
    router_id lb1
    script_user daemon
    enable_script_security
    set_supplementary_groups
    notification_email { ops@example.org }
    notification_email_from lb1@example.org
    smtp_server mail.example.org 465
    smtp_alert_vrrp
    no_email_faults
    notify_fifo /run/all daemon adm
    vrrp_notify_fifo /run/vrrp
    vrrp_notify_fifo_script "/bin/read x" nobody
    lvs_notify_fifo /run/lvs
    fifo_write_vrrp_states_on_reload
    rs_init_notifies
    startup_script /bin/begin
    startup_script_timeout 3
    shutdown_script "/bin/end now"
}
vrrp_sync_group G {
    group { A }
    notify "/bin/group"
    smtp_alert false
    notify_priority_changes
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress { 192.0.2.10 }
    notify /bin/notify
    notify_deleted
    notify_master "/bin/master a b"
    notify_master_rx_lower_pri /bin/rival
}
virtual_server 192.0.2.10 80 {
    protocol TCP
    lb_kind DR
    omega
    quorum_up /bin/up
    quorum_down /bin/down
    real_server 192.0.2.12 80 {
        notify_down "/bin/server down" adm
    }
    real_server 192.0.2.13 80 {
        smtp_alert false
    }
}`

func TestFromConfigMakesReceivers(t *testing.T) {
	spec := parse(notifying)
	program := func(user string, args ...string) holdfast.Program {
		return holdfast.Program{Args: args, User: user, Secure: true, Supplementary: true}
	}
	match := func(kind holdfast.EventKind, object, to string) holdfast.Match {
		return holdfast.Match{Kind: kind, Object: object, To: to}
	}
	const service, server = "TCP 192.0.2.10:80", "TCP 192.0.2.10:80 192.0.2.12:80"
	reader := program("nobody", "/bin/read", "x")
	want := holdfast.Notify{
		Host: "lb1", Priorities: []string{"A"}, InitialServers: true, Repeat: true,
		Hooks: []holdfast.Hook{
			{Match: match(holdfast.EventInstance, "A", "MASTER"), Program: program("daemon", "/bin/master", "a", "b")},
			{Match: match(holdfast.EventInstance, "A", "DELETED"), Program: program("daemon")},
			{Match: match(holdfast.EventInstance, "A", ""), Program: program("daemon", "/bin/notify"), Words: true},
			{Match: match(holdfast.EventRival, "A", ""), Program: program("daemon", "/bin/rival")},
			{Match: match(holdfast.EventGroup, "G", ""), Program: program("daemon", "/bin/group"), Words: true},
			{Match: match(holdfast.EventService, service, "UP"), Program: program("daemon", "/bin/up")},
			{Match: match(holdfast.EventService, service, "DOWN"), Program: program("daemon", "/bin/down")},
			{Match: match(holdfast.EventServer, server, "DOWN"), Program: program("adm", "/bin/server", "down")},
		},
		FIFOs: []holdfast.FIFO{
			{Path: "/run/all", User: "daemon", Group: "adm", Instances: true, Services: true},
			{Path: "/run/vrrp", Instances: true, Reader: &reader}, {Path: "/run/lvs", Services: true},
		},
		Mail: &holdfast.Mail{
			Server: "mail.example.org:465", Security: "tls", Timeout: 30 * time.Second, From: "lb1@example.org", To: []string{"ops@example.org"},
			About:  []holdfast.Match{match(holdfast.EventInstance, "A", ""), match(holdfast.EventServer, server, "")},
			Except: []holdfast.Match{match(holdfast.EventInstance, "", "FAULT"), match(holdfast.EventGroup, "", "FAULT")},
		},
	}
	for i := range want.Hooks {
		if got := spec.Notify.Hooks[i]; !slices.Equal(got.Program.Args, want.Hooks[i].Program.Args) || got.Match != want.Hooks[i].Match {
			t.Errorf("hook %d: %+v, want %+v", i, got, want.Hooks[i])
		}
		spec.Notify.Hooks[i].Program.Args = want.Hooks[i].Program.Args // nil or empty
	}
	if !reflect.DeepEqual(spec.Notify, want) {
		t.Errorf("notify:\n%+v\nwant:\n%+v", spec.Notify, want)
	}
	if spec.Startup.String() != "/bin/begin as daemon" || spec.Startup.Timeout != 3*time.Second || spec.Shutdown.String() != "/bin/end now as daemon" || !spec.Services[0].Omega {
		t.Errorf("start %+v, end %+v, omega %v", spec.Startup, spec.Shutdown, spec.Services[0].Omega)
	}
}

// TestOneMatchForAllServers: mail about every server is one entry, however many there are.
func TestOneMatchForAllServers(t *testing.T) {
	spec := parse(strings.Replace(notifying, "        smtp_alert false", "", 1))
	want := []holdfast.Match{{Kind: holdfast.EventInstance, Object: "A"}, {Kind: holdfast.EventServer}}
	if got := spec.Notify.Mail.About; !slices.Equal(got, want) {
		t.Errorf("about %v, want %v", got, want)
	}
}

func TestPlanTellsOfReceivers(t *testing.T) {
	before, after := parse(notifying), parse(notifying)
	if plan := holdfast.Diff(before, after); !plan.Empty() {
		t.Errorf("nothing changed, and the plan is\n%v", plan)
	}
	n := &after.Notify
	n.Hooks, n.FIFOs[2].User, n.Mail.Password, n.Host = n.Hooks[1:], "daemon", "secret", "lb2"
	n.Webhooks = append(n.Webhooks, holdfast.Webhook{URL: "https://example.org/hook"})
	after.Shutdown = nil
	want := `fifo /run/lvs edit
mail by mail.example.org:465 to ops@example.org edit
webhook https://example.org add
notification options edit
hook instance A MASTER: /bin/master a b as daemon delete
shutdown_script /bin/end now as daemon delete
`
	if got := holdfast.Diff(before, after).String(); got != want {
		t.Errorf("plan:\n%swant:\n%s", got, want)
	}
}

// TestWebhooksKnowEveryKind: a file can ask for each kind of events there is, and for no other.
func TestWebhooksKnowEveryKind(t *testing.T) {
	for _, m := range regexp.MustCompile(`EventKind = "(\w+)"`).FindAllStringSubmatch(read(t, "event.go"), -1) {
		spec := parse("webhook chat {\n url https://hooks.example.org/T0/s3cret\n events " + m[1] + ":X\n}\n")
		want := holdfast.Webhook{Name: "chat", URL: "https://hooks.example.org/T0/s3cret", About: []holdfast.Match{{Kind: holdfast.EventKind(m[1]), To: "X"}}}
		if got := spec.Notify.Webhooks; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("kind %s: %+v", m[1], got)
		}
	}
}

// TestWebhooksAreNamedWithoutSecrets: what plans and events call one has neither path nor password.
func TestWebhooksAreNamedWithoutSecrets(t *testing.T) {
	for want, w := range map[string]holdfast.Webhook{
		"chat": {Name: "chat", URL: "https://a/b"}, "https://a:8443": {URL: "https://user:pass@a:8443/b?c"}, "with an address that is none": {URL: ":"},
	} {
		if got := w.String(); got != want {
			t.Errorf("%+v: %s, want %s", w, got, want)
		}
	}
}
