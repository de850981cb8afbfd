package holdfast_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

func TestFromConfigCarriesWhatTheFileSays(t *testing.T) {
	spec := parse(`
vrrp_instance A {
    interface eth1
    virtual_router_id 9
    version 3
    advert_int 0.2
    mcast_src_ip 192.0.2.1
    nopreempt
    garp_master_delay 0
    garp_master_repeat 2
    garp_master_refresh 60
    virtual_ipaddress { 192.0.2.10 }
}
virtual_server fwmark 7 {
    lb_algo sh
    sh-port
    sh-fallback
    persistence_timeout 30
    persistence_granularity 255.255.255.0
    quorum 2
    hysteresis 1
    sorry_server 192.0.2.99 80
    real_server 192.0.2.11 8080 {
        weight 5
        inhibit_on_failure
        uthreshold 100
        lthreshold 50
        HTTP_GET { url { path /a
                virtualhost www.example.org
                status_code 200-299 404 }
            connect_port 81
            bindto 192.0.2.1
            retry 3
            delay_before_retry 0
            delay_loop 2.5
            warmup 0
            alpha
        }
    }
    real_server 192.0.2.12 8080 { }
}
virtual_server 192.0.2.10 53 {
    protocol UDP
    ops
    real_server 192.0.2.11 53 { }
}`)
	in := spec.Instances[0]
	if !in.NoPreempt || in.Interval != 200*time.Millisecond || in.Announce != (vrrp.Announce{Rounds: 2, Delay: -1, Refresh: time.Minute, RefreshRounds: 1, LowerPrioRounds: 5, LowerPrioDelay: 5 * time.Second}) {
		t.Errorf("instance: %+v", in)
	}
	const want = `-A -u 192.0.2.10:53 -s wlc -o
-a -u 192.0.2.10:53 -r 192.0.2.11:53 -m -w 1
-A -f 7 -s sh -p 30 -M 255.255.255.0 -b sh-fallback,sh-port
-a -f 7 -r 192.0.2.11:8080 -m -w 5 -x 100 -y 50
-a -f 7 -r 192.0.2.12:8080 -m -w 1
`
	if got := holdfast.Diff(holdfast.Spec{}, spec).Table.String(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	s := spec.Services[0]
	if s.Quorum != 2 || s.Hysteresis != 1 || !s.Servers[0].Inhibit || s.Sorry.Addr.String() != "192.0.2.99:80" {
		t.Errorf("pool: %+v", s)
	}
	p := s.Servers[0].Checks[0]
	if p.Policy != (check.Policy{DelayLoop: 2500 * time.Millisecond, Retry: 3, DelayBeforeRetry: -1, Timeout: 5 * time.Second, Warmup: -1}) || !p.Alpha {
		t.Errorf("policy: %+v", p)
	}
	h := p.Checker.(check.HTTP)
	if h.Addr.String() != "192.0.2.11:81" || h.Source.String() != "192.0.2.1:0" || h.URLs[0].VirtualHost != "www.example.org" || len(h.URLs[0].Status) != 2 {
		t.Errorf("checker: %+v", h)
	}
}

func TestFromConfigJoinsGroups(t *testing.T) {
	spec := parse(`
vrrp_sync_group G {
    group { A
        B }
    track_interface { eth9 weight -5 reverse }
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    unicast_src_ip 192.0.2.1
    unicast_peer { 192.0.2.2
        192.0.2.3 }
    track_interface { eth1 weight 20 }
    virtual_ipaddress { 192.0.2.10 }
}
vrrp_instance B {
    interface eth1
    virtual_router_id 2
    version 3
    mcast_dst_ip ff02::99
    virtual_ipaddress { fe80::10/64
        2001:db8::10 }
}`)
	a, b := spec.Instances[0], spec.Instances[1]
	if a.Sync != "G" || b.Sync != "G" {
		t.Errorf("groups: %q, %q", a.Sync, b.Sync)
	}
	if a.Source.String() != "192.0.2.1" || len(a.Peers) != 2 || b.Group.String() != "ff02::99" || len(b.Addrs) != 2 {
		t.Errorf("modes: %+v, %+v", a, b)
	}
	if want := []vrrp.TrackInterface{{Interface: "eth1"}, {Interface: "eth9", Weight: -5, Reverse: true}}; !slices.Equal(a.Track, want) {
		t.Errorf("tracked: %+v, want %+v", a.Track, want)
	}
}

// TestFromConfigGroupTracking: whose weight counts when a group and its member track the same, and what an owner changes.
func TestFromConfigGroupTracking(t *testing.T) {
	spec := parse(`
track_file load {
    file /tmp/load
}
vrrp_sync_group G {
    group { A
        B }
    global_tracking
    track_interface { eth8 weight 7
        eth9 weight 9 }
}
vrrp_sync_group O {
    group { C
        D }
    track_interface { eth8 weight 7 }
    track_file { load weight 2 }
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    track_interface { eth8 weight 5
        eth9
        eth10 weight 10 }
    virtual_ipaddress { 192.0.2.10 }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 2
    virtual_ipaddress { 192.0.2.11 }
}
vrrp_instance C {
    interface eth0
    virtual_router_id 3
    priority 255
    virtual_ipaddress { 192.0.2.12 }
}
vrrp_instance D {
    interface eth0
    virtual_router_id 4
    track_interface { eth10 weight 10 }
    virtual_ipaddress { 192.0.2.13 }
}`)
	for i, want := range [][]vrrp.TrackInterface{
		{{Interface: "eth8", Weight: 7}, {Interface: "eth9"}, {Interface: "eth10", Weight: 10}},
		{{Interface: "eth8", Weight: 7}, {Interface: "eth9", Weight: 9}},
		{{Interface: "eth8"}},
		{{Interface: "eth10"}, {Interface: "eth8"}},
	} {
		if got := spec.Instances[i].Track; !slices.Equal(got, want) {
			t.Errorf("%s tracks %+v, want %+v", spec.Instances[i].Name, got, want)
		}
	}
	if e := spec.Trackers[0].Effects; len(e) != 2 || e[0].Weight != 0 || e[1].Weight != 0 {
		t.Errorf("the file of a group with an owner: %+v", e)
	}
}

// TestFromConfigProtocol: what is said about the protocol, by an instance or for all, reaches the instance.
func TestFromConfigProtocol(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(strings.Repeat("k", 40)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := parse(`
global_defs {
    vrrp_startup_delay 2.5
    vrrp_delay_after_boot 60
    vrrp_garp_master_refresh 30
    vrrp_garp_lower_prio_repeat 2
    vrrp_down_timer_adverts 5
    vrrp_lower_prio_no_advert
    vrrp_check_unicast_src
    vrrp_mcast_group4 224.0.0.99
}
vrrp_instance A {
    state BACKUP
    interface eth0
    virtual_router_id 1
    version 3
    priority 255
    unicast_peer { 192.0.2.2 min_ttl 250
        192.0.2.3 min_ttl 3 max_ttl 9 }
    virtual_ipaddress { 192.0.2.10 }
    old_unicast_checksum never
    garp_lower_prio_delay 0
    garp_master_refresh_repeat 3
    owner_ignore_adverts
    higher_prio_send_advert
    lower_prio_no_advert false
    auth_hmac {
        key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
        key 9 file:` + file + `
        active_key 9
        mode permissive
        time_window 7
        anti_replay monotonic
    }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 2
    nopreempt
    timer_expired_backup 120
    down_timer_adverts 2
    authentication {
        auth_type AH
        auth_pass secret
    }
    virtual_ipaddress { 192.0.2.11 }
}
vrrp_instance C {
    interface eth0
    virtual_router_id 3
    version 3
    v3_checksum_as_v2
    garp_lower_prio_repeat 0
    strict_mode
    virtual_ipaddress { 192.0.2.12 }
}`)
	want := []vrrp.Instance{{
		Name: "A", Interface: "eth0", VRID: 1, Version: 3, Priority: 255, Interval: time.Second, Addrs: vrrp.MustAddresses("192.0.2.10"),
		Group: netip.MustParseAddr("224.0.0.99"), CheckSource: true, StartBackup: true, DownAdverts: 5,
		Peers:      []vrrp.Peer{{Addr: netip.MustParseAddr("192.0.2.2"), MinTTL: 250}, {Addr: netip.MustParseAddr("192.0.2.3"), MinTTL: 3, MaxTTL: 9}},
		StartDelay: 2500 * time.Millisecond, BootDelay: time.Minute, IgnoreAdverts: true, HigherPrioSendAdvert: true, Checksum: vrrp.ChecksumPseudo,
		Announce: vrrp.Announce{Refresh: 30 * time.Second, RefreshRounds: 3, LowerPrioRounds: 2, LowerPrioDelay: -1},
		HMAC: vrrp.HMAC{Active: 9, Mode: vrrp.HMACPermissive, Window: 7 * time.Second, Monotonic: true, Keys: []vrrp.HMACKey{
			{ID: 1, Secret: "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"},
			{ID: 9, Secret: strings.Repeat("k", 40)},
		}},
	}, {
		Name: "B", Interface: "eth0", VRID: 2, Version: 2, Addrs: vrrp.MustAddresses("192.0.2.11"), Group: netip.MustParseAddr("224.0.0.99"),
		CheckSource: true, NoPreempt: true, TimerExpiredBackup: 120, DownAdverts: 2, LowerPrioNoAdvert: true, StartDelay: 2500 * time.Millisecond,
		BootDelay: time.Minute, AuthType: vrrp.AuthAH, Password: "secret", Announce: vrrp.Announce{Refresh: 30 * time.Second, LowerPrioRounds: 2},
	}, {
		Name: "C", Interface: "eth0", VRID: 3, Addrs: vrrp.MustAddresses("192.0.2.12"), Group: netip.MustParseAddr("224.0.0.99"), CheckSource: true,
		LowerPrioNoAdvert: true, StartDelay: 2500 * time.Millisecond, BootDelay: time.Minute, Strict: true, NoAccept: true, Checksum: vrrp.ChecksumMessage,
		Announce: vrrp.Announce{Refresh: 30 * time.Second},
	}}
	for i := range want {
		if got := spec.Instances[i]; !got.Equal(&want[i]) {
			t.Errorf("got  %+v\nwant %+v", got, want[i])
		}
		if err := spec.Instances[i].Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestFromConfigMakesTrackers(t *testing.T) {
	spec := parse(`
global_defs {
    script_user daemon
    enable_script_security
}
vrrp_script app {
    script "/usr/local/bin/check app"
    interval 2
    timeout 1
    fall 3
    rise 2
    weight -20
}
vrrp_script unused { script /bin/true }
vrrp_sync_group G {
    group { B }
    track_script { app weight 5 reverse }
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress { 192.0.2.10 }
    track_script { app }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 2
    virtual_ipaddress { 192.0.2.11 }
}
virtual_server 192.0.2.10 80 {
    protocol TCP
    lb_algo rr
    lb_kind DR
    real_server 192.0.2.12 80 {
        MISC_CHECK {
            misc_path "/bin/probe 192.0.2.12"
            misc_timeout 4
        }
    }
}`)
	want := []holdfast.Tracker{{
		Name: "app",
		Probe: check.Probe{
			Checker: check.Command{Args: []string{"/usr/local/bin/check", "app"}, User: "daemon", Secure: true, Resolve: true},
			Policy:  check.Policy{DelayLoop: 2 * time.Second, Fall: 3, Rise: 2, Timeout: time.Second, FromStart: true, AtOnce: true},
			Alpha:   true,
		},
		Effects: []holdfast.Effect{{Instance: "A", Weight: -20}, {Instance: "B", Weight: 5, Reverse: true}},
	}}
	if !reflect.DeepEqual(spec.Trackers, want) {
		t.Errorf("trackers:\n%+v\nwant\n%+v", spec.Trackers, want)
	}
	if plan := holdfast.Diff(holdfast.Spec{}, spec); len(plan.Checks) != 0 {
		t.Errorf("a plan from nothing has lines of checks: %v", plan.Checks)
	}
	other := spec
	other.Trackers = []holdfast.Tracker{spec.Trackers[0], {Name: "new", Probe: check.Probe{Policy: check.Policy{DelayLoop: time.Second}}}}
	other.Trackers[0].Probe.Policy.DelayLoop = time.Minute
	if plan := holdfast.Diff(spec, other).Checks; len(plan) != 2 || plan[0] != "tracker app edit: every 1m0s, moves A by -20, B by 5" || plan[1] != "tracker new add: every 1s, moves " {
		t.Errorf("plan: %q", plan)
	}
	if plan := holdfast.Diff(other, spec).Checks; len(plan) != 2 || plan[1] != "tracker new delete" {
		t.Errorf("plan back: %q", plan)
	}
	p := spec.Services[0].Servers[0].Checks[0]
	if c := p.Checker.(check.Command); c.Args[1] != "192.0.2.12" || c.User != "daemon" || p.Policy.Timeout != 4*time.Second || p.ID != "MISC_CHECK /bin/probe 192.0.2.12" {
		t.Errorf("misc: %+v", p)
	}
}

// TestFromConfigTracksFilesAndProcesses: one tracker for each weight of a file, what a group leaves of its members' trackers,
// and checks of files and scripts with all their options.
func TestFromConfigTracksFilesAndProcesses(t *testing.T) {
	spec := parse(`
global_defs {
    script_user daemon :
    use_symlink_paths
    checker_log_all_failures
}
track_file load {
    file "/run/a load"
    weight 2 reverse
    init_file 7 overwrite
}
track_file plain { file /run/plain }
vrrp_track_process web {
    process "/usr/sbin/nginx" -g daemon
    param_match initial
    quorum 2
    quorum_max 4
    delay 2
    terminate_delay 0.5
    weight -20
}
vrrp_track_process none {
    process rsync
    quorum_max 0
}
vrrp_script shell { script "</dev/tcp/127.0.0.1/80" }
vrrp_script kept { script /bin/true }
vrrp_script heavy { script /bin/true
 weight 5 }
vrrp_sync_group G {
    group { C }
    track_file { load weight 0 }
}
vrrp_instance A {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress { 192.0.2.10 }
    track_file { load }
    track_process { web
        none }
    track_script { shell }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 2
    virtual_ipaddress { 192.0.2.11 }
    track_file { load weight 3 }
}
vrrp_instance C {
    interface eth0
    virtual_router_id 3
    virtual_ipaddress { 192.0.2.12 }
    track_file { load
        plain }
    track_process { web weight 7 }
    track_script { kept
        heavy }
}
virtual_server 192.0.2.10 80 {
    protocol TCP
    lb_algo rr
    lb_kind DR
    alpha
    real_server 192.0.2.13 80 {
        FILE_CHECK { track_file load }
        FILE_CHECK { track_file load
            weight -4 }
        MISC_CHECK {
            misc_path "/bin/probe 'a b'"
            misc_dynamic
            user nobody daemon
            log_all_failures off
        }
    }
}`)
	var got []string
	for _, t := range spec.Trackers {
		got = append(got, fmt.Sprintf("%s %+v %+v", t.Name, t.Probe.Checker, t.Effects))
	}
	web := "process web {Name:/usr/sbin/nginx Full:false Params:[-g daemon] Match:3 Quorum:2 Most:4 None:false ForkDelay:2s TerminateDelay:500ms}"
	want := []string{
		"shell {Args:[</dev/tcp/127.0.0.1/80] Shell:true User:daemon Group: Supplementary:true Secure:false Resolve:false Dynamic:false} [{Instance:A Weight:0 Reverse:false}]",
		"kept {Args:[/bin/true] Shell:false User:daemon Group: Supplementary:true Secure:false Resolve:false Dynamic:false} [{Instance:C Weight:0 Reverse:false}]",
		"file load {Path:/run/a load Weight:2 Reverse:true Range:253} [{Instance:A Weight:0 Reverse:false}]",
		"file load weight 3 {Path:/run/a load Weight:3 Reverse:false Range:253} [{Instance:B Weight:0 Reverse:false}]",
		"file load weight 0 {Path:/run/a load Weight:0 Reverse:false Range:253} [{Instance:C Weight:0 Reverse:false}]",
		"file plain weight 0 {Path:/run/plain Weight:0 Reverse:false Range:253} [{Instance:C Weight:0 Reverse:false}]",
		web + " [{Instance:A Weight:-20 Reverse:false} {Instance:C Weight:7 Reverse:false}]",
		"process none {Name:rsync Full:false Params:[] Match:0 Quorum:1 Most:0 None:true ForkDelay:0s TerminateDelay:0s} [{Instance:A Weight:0 Reverse:false}]",
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("trackers:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	checks := spec.Services[0].Servers[0].Checks
	file, own, misc := checks[0], checks[1], checks[2]
	if file.Checker != (check.File{Path: "/run/a load", Weight: 2, Reverse: true}) || file.Alpha || !file.LogFailures || own.Checker != (check.File{Path: "/run/a load", Weight: -4}) {
		t.Errorf("FILE_CHECK: %+v, %+v", file, own)
	}
	command := check.Command{Args: []string{"/bin/probe", "a b"}, User: "nobody", Group: "daemon", Dynamic: true}
	if !reflect.DeepEqual(misc.Checker, command) || !misc.Policy.FromStart || !misc.Alpha || misc.LogFailures {
		t.Errorf("MISC_CHECK: %+v", misc)
	}
}

// TestInitFiles: init_file makes what is not there, and overwrites only when it says so.
func TestInitFiles(t *testing.T) {
	dir := t.TempDir()
	text := "track_file a { file " + dir + "/a\n init_file 5\n }\ntrack_file b { file " + dir + "/b\n init_file -3 overwrite\n }\n" +
		"track_file c { file " + dir + "/c\n }\ntrack_file d { file " + dir + "/no/d\n init_file\n }\n"
	cfg, diags := config.Read("k.conf", []byte(text))
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := holdfast.InitFiles(cfg); err == nil || strings.Count(err.Error(), "track_file") != 1 || !strings.Contains(err.Error(), "k.conf:9:1: track_file d: ") {
			t.Errorf("%v", err)
		}
	}
	for name, want := range map[string]string{"a": "5\n", "b": "-3\n", "c": ""} {
		if got, _ := os.ReadFile(dir + "/" + name); string(got) != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	if err := os.WriteFile(dir+"/a", []byte("8"), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = holdfast.InitFiles(cfg)
	if got, _ := os.ReadFile(dir + "/a"); string(got) != "8" {
		t.Errorf("a was overwritten: %q", got)
	}
}

// TestFromConfigRefusesWhatCannotBeHeld: a Config that was read in spite of errors is not taken.
func TestFromConfigRefusesWhatCannotBeHeld(t *testing.T) {
	cfg, _ := config.Read("k.conf", []byte("vrrp_instance A { interface eth0 }"))
	if _, err := holdfast.FromConfig(cfg); err == nil || !strings.Contains(err.Error(), "k.conf") || !strings.Contains(err.Error(), "no VRID") {
		t.Errorf("error: %v", err)
	}
}

// TestSorryServerServesAlone holds the way from a file through lost quorum to the table.
func TestSorryServerServesAlone(t *testing.T) {
	s := parse(conf).Services[0]
	pool := ipvs.Pool{Service: s.Service, Sorry: s.Sorry, Quorum: s.Quorum}
	for _, server := range s.Servers {
		pool.Servers = append(pool.Servers, server.RealServer)
	}
	if want, has := pool.Want(make([]ipvs.Health, 2), true); has || len(want[0].Destinations) != 1 || want[0].Destinations[0].Addr.String() != "192.0.2.99:80" {
		t.Errorf("quorum %v, %+v", has, want)
	}
}
