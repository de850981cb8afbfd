package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const notifying = `
global_defs {
    router_id lb1
    script_user daemon
    notification_email {
        ops@example.org
        noc@example.org
    }
    notification_email_from lb1@example.org
    smtp_server mail.example.org 587
    smtp_helo_name lb1.example.org
    smtp_connect_timeout 7
    smtp_alert
    smtp_alert_checker false
    no_checker_emails
    no_email_faults
    notify_fifo /run/all daemon adm
    notify_fifo_script "/bin/read 'all of it'" nobody
    vrrp_notify_fifo /run/vrrp
    lvs_notify_fifo /run/lvs
    lvs_notify_fifo_script /bin/lvs
    vrrp_notify_priority_changes
    fifo_write_vrrp_states_on_reload
    rs_init_notifies
    startup_script "/bin/begin now"
    startup_script_timeout 3
    shutdown_script /bin/end root wheel
}
vrrp_sync_group G {
    group { A }
    notify_master "/bin/group master"
    notify_priority_changes false
    smtp_alert false
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress { 192.0.2.10 }
    notify "/bin/notify 'a b' c" nobody :adm
    notify_master /bin/master
    notify_master /bin/second
    notify_deleted
}
vrrp_instance B {
    interface eth0
    virtual_router_id 2
    virtual_ipaddress { 192.0.2.11 }
    notify_priority_changes
    smtp_alert no
}
virtual_server 192.0.2.10 80 {
    protocol TCP
    lb_kind DR
    quorum_up "/bin/quorum up"
    quorum_down /bin/quorum
    real_server 192.0.2.12 80 {
        notify_up /bin/up
        notify_down "/bin/down x" adm
        smtp_alert
    }
}
`

func TestNotificationsAreRead(t *testing.T) {
	cfg, diags := Read("k.conf", []byte(notifying))
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(diags, func(d Diagnostic) bool { return d.Code == "twice" && strings.Contains(d.Message, "notify_master") }) {
		t.Errorf("a second notify_master is not told: %v", diags)
	}
	for _, d := range diags {
		if d.Code == "no-effect" {
			t.Errorf("%v", d)
		}
	}
	g := cfg.Global
	mail := Mail{
		Server: "mail.example.org", Port: 587, Helo: "lb1.example.org", From: "lb1@example.org", To: []string{"ops@example.org", "noc@example.org"},
		Timeout: 7 * time.Second, OnlyChanges: true, NoFaults: true, All: new(true), Checkers: new(false),
	}
	if !reflect.DeepEqual(g.Mail, mail) {
		t.Errorf("mail %+v, want %+v", g.Mail, mail)
	}
	fifos := []FIFO{*g.FIFO, *g.VRRPFIFO, *g.LVSFIFO}
	for i := range fifos {
		fifos[i].Pos, fifos[i].Script.Pos = Pos{}, Pos{}
	}
	if want := []FIFO{
		{Path: "/run/all", User: "daemon", Group: "adm", Script: Command{Args: []string{"/bin/read", "all of it"}, User: "nobody"}},
		{Path: "/run/vrrp", Script: Command{User: "daemon"}},
		{Path: "/run/lvs", Script: Command{Args: []string{"/bin/lvs"}, User: "daemon"}},
	}; !reflect.DeepEqual(fifos, want) {
		t.Errorf("FIFOs %+v, want %+v", fifos, want)
	}
	if !g.PriorityChanges || !g.StatesOnReload || !g.InitialServers || g.StartupTimeout != 3*time.Second || g.ShutdownTimeout != 10*time.Second {
		t.Errorf("global: %+v", g)
	}
	a, b, group, server := cfg.Instances[0], cfg.Instances[1], cfg.SyncGroups[0], cfg.VirtualServers[0]
	for what, c := range map[string]struct {
		n                *Notification
		keyword, command string
		mail, priorities bool
	}{
		"a":      {&a.Notification, "notify", "/bin/notify|a b|c as nobody:adm", true, false},
		"a's":    {&a.Notification, "notify_master", "/bin/master as daemon:", true, false},
		"b":      {&b.Notification, "", "", false, true},
		"group":  {&group.Notification, "notify_master", "/bin/group|master as daemon:", false, false},
		"server": {&server.Notification, "quorum_up", "/bin/quorum|up as daemon:", false, false},
		"real":   {&server.RealServers[0].Notification, "notify_down", "/bin/down|x as adm:", true, false},
	} {
		if c.n.Mail != c.mail || c.n.Priorities != c.priorities {
			t.Errorf("%s: %+v", what, c.n)
		}
		if p := c.n.Programs[c.keyword]; c.keyword != "" && strings.Join(p.Args, "|")+" as "+p.User+":"+p.Group != c.command {
			t.Errorf("%s: %+v, want %s", what, p, c.command)
		}
	}
	if !a.Deleted() || b.Deleted() {
		t.Error("notify_deleted is not told from its absence")
	}
}

func TestFIFOsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"vrrp_notify_fifo_script /bin/x": "no FIFO",
		"lvs_notify_fifo run/fifo":       "absolute",
	} {
		if _, diags := Read("k.conf", []byte("global_defs {\n"+text+"\n}\n")); !strings.Contains(fmt.Sprint(diags), want) {
			t.Errorf("%s: %v", text, diags)
		}
	}
}
