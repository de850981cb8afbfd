package config

import (
	"net/netip"
	"time"
)

// What is more than this deserves a remark.
const (
	slowDetection = 30 * time.Second
	slowFailover  = 10 * time.Second
	lateCheck     = 30 * time.Second
	longMemory    = 10 * time.Minute
)

var lintRules = []Rule{
	{
		Code: "tcp-check-http", Severity: Note,
		Why: "A TCP check sees only that a port answers. A web server or proxy goes on answering when the application behind it is gone: clients get errors, and the server stays in. It is said once for each virtual_server, at the first such check, whose like the others are.",
		Fix: "use HTTP_GET { url { path / status_code 200 } }, or SSL_GET where TLS is spoken",
		check: func(l *linter, v *VirtualServer, r *RealServer, c *Check) {
			if c.Kind != "TCP_CHECK" || !c.first || !httpPorts[c.Addr.Port()] && !httpPorts[v.Addr.Port()] {
				return
			}
			if r.seen() {
				return
			}
			fix := "use HTTP_GET { url { path / status_code 200 } }"
			if tlsPorts[c.Addr.Port()] {
				fix = "use SSL_GET { url { path / status_code 200 } }"
			}
			l.sayFix(c.Pos, fix, "a TCP check sees only that port %d answers: when the application behind it is gone and the web server or proxy still listens, clients get errors and the server stays in", c.Addr.Port())
		},
	},
	{
		Code: "tcp-check-protocol", Severity: Note,
		Why: "A TCP check sees only that a port answers. A database that starts, is full or has lost its primary, and a mail or name server that hangs, go on taking connections.",
		Fix: "use the check of the protocol",
		check: func(l *linter, _ *VirtualServer, r *RealServer, c *Check) {
			if kind := protocolChecks[c.Addr.Port()]; c.Kind == "TCP_CHECK" && kind != "" && c.first && !r.seen() {
				l.say(c.Pos, "a TCP check sees only that port %d answers; %s sees whether the server works", c.Addr.Port(), kind)
			}
		},
	},
	{
		Code: "ping-only", Severity: Note,
		Why: "A PING_CHECK sees only that a host answers, and its kernel does that by itself: every service on it may be dead.",
		Fix: "add a check of the service",
		check: func(l *linter, _ *VirtualServer, r *RealServer, c *Check) {
			for _, other := range r.Checks {
				if other.Kind != "PING_CHECK" && other.Kind != "BFD_CHECK" {
					return
				}
			}
			if c.Kind == "PING_CHECK" && c.first {
				l.say(c.Pos, "only the host of real_server %v is checked, no service on it", r.Addr)
			}
		},
	},
	{
		Code: "no-check", Severity: Warning,
		Why: "A real server without a check is never taken out: it gets its share of the clients even when it is dead. It is said for each real_server.",
		Fix: "add a check, such as HTTP_GET { url { path / status_code 200 } }",
		server: func(l *linter, _ *VirtualServer, r *RealServer) {
			if len(r.Checks) == 0 && !r.wrongCheck {
				l.say(r.Pos, "real_server %v has no check: it gets its share of the clients even when it is dead", r.Addr)
			}
		},
	},
	{
		Code: "slow-detection", Severity: Note,
		Why: "The time until a dead server is out is the sum of several numbers, and longer than most operators think. The remark prints the sum.",
		Fix: "lower delay_loop, connect_timeout, retry or delay_before_retry",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if total := c.detection(); total > slowDetection && c.first {
				l.say(c.Pos, "%v loop + %v timeout + %d x (%v + %v) = %v until a dead server is out",
					c.DelayLoop, c.ConnectTimeout, c.Retry, c.DelayBeforeRetry, c.ConnectTimeout, total)
			}
		},
	},
	{
		Code: "late-first-check", Severity: Note,
		Why: "The first check of a server comes after a random part of warmup, which is delay_loop unless said otherwise. Until then a server that is down gets clients.",
		Fix: "set warmup, or alpha",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if c.Warmup > lateCheck && !c.Alpha && c.first {
				l.say(c.Pos, "the first check may come %v after the start; until then the server gets clients", c.Warmup)
			}
		},
	},
	{
		Code: "loop-below-timeout", Severity: Note,
		Why: "With a delay_loop shorter than connect_timeout, one check of a silent server takes longer than the time between two: the rhythm is not the one that is written.",
		Fix: "make connect_timeout shorter than delay_loop",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if c.DelayLoop < c.ConnectTimeout && c.first {
				l.say(c.Pos, "delay_loop %v is shorter than connect_timeout %v", c.DelayLoop, c.ConnectTimeout)
			}
		},
	},
	{
		Code: "no-retry", Severity: Note,
		Why: "With retry 0 a single lost packet takes a server out, and all its clients with it.",
		Fix: "use retry 1 or more",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if c.Retry == 0 && !c.local() && c.first {
				l.say(c.Pos, "one failure takes the server out")
			}
		},
	},
	{
		Code: "any-status", Severity: Note,
		Why: "A url without status_code, digest or regex is content with any answer of 200 to 299, also of a maintenance page.",
		Fix: "add status_code 200, and a digest or regex of what the page must say",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			for _, u := range c.URLs {
				if len(u.Status) == 0 && !u.Matches && c.first {
					l.say(u.Pos, "any status from 200 to 299 will do here")
				}
			}
		},
	},
	{
		Code: "url-without-host", Severity: Note,
		Why: "Without virtualhost the Host header is the server's address and port. A web server with several sites answers with its default one, which may work while yours does not.",
		Fix: "add virtualhost NAME",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			for _, u := range c.URLs {
				if u.VirtualHost == "" && c.first {
					l.say(u.Pos, "the Host header is %v", c.Addr)
					return
				}
			}
		},
	},
	{
		Code: "many-urls", Severity: Note,
		Why: "keepalived asks one url per delay_loop: with n urls a fault of one of them is found n times later than with one.",
		Fix: "lower delay_loop, or ask for one url that stands for all",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if n := len(c.URLs); n > 1 && c.first {
				l.say(c.Pos, "%d urls: keepalived takes %d x %v for a full pass", n, n, c.DelayLoop)
			}
		},
	},
	{
		Code: "tls-not-verified", Severity: Note,
		Why: "SSL_GET does not verify the server's certificate unless told to: it may have expired, or be another's, and the check succeeds. What verifies it only Holdfast has: keepalived reports tls_verify as unknown and goes on.",
		Fix: "add tls_verify, with tls_ca FILE for an authority of your own, or tls_min_days DAYS alone",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if c.Kind == "SSL_GET" && !c.TLS.Verify && c.TLS.MinDays == 0 && c.first {
				l.say(c.Pos, "SSL_GET verifies no certificate")
			}
		},
	},
	{
		Code: "udp-silence", Severity: Note,
		Why: "Without require_reply a UDP check counts silence as success: a server behind a firewall that drops, or one that hangs, stays in.",
		Fix: "add require_reply, with a payload that is answered",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if c.Kind == "UDP_CHECK" && !c.Reply && c.first {
				l.say(c.Pos, "silence counts as success")
			}
		},
	},
	{
		Code: "tcp-check-udp", Severity: Warning,
		Why: "A TCP, HTTP or SMTP check says nothing of a service over UDP. Often the service is meant to be TCP, and protocol is missing: its default is UDP.",
		Fix: "add protocol TCP, or use UDP_CHECK or DNS_CHECK",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			overTCP := c.Kind == "TCP_CHECK" || c.Kind == "SMTP_CHECK" || c.http() || overTCPOnly[c.Kind]
			if v.Protocol == "UDP" && overTCP && c.first && !v.wrong.has("protocol") {
				l.say(c.Pos, "%s of a service over UDP", c.Kind)
			}
		},
	},
	{
		Code: "check-elsewhere", Severity: Note,
		Why: "The check asks another port than clients use. It may be right, for a health page; it may also be left from another service.",
		Fix: "check the port that clients use, if nothing speaks against it",
		check: func(l *linter, v *VirtualServer, r *RealServer, c *Check) {
			if c.port != 0 && r.Addr.Port() != 0 && uint16(c.port) != r.Addr.Port() && c.first {
				l.say(c.Pos, "the check asks port %d, clients use %d", c.port, r.Addr.Port())
			}
		},
	},
	{
		Code: "misc-without-timeout", Severity: Note,
		Why: "A script without misc_timeout may hang as long as delay_loop before it counts as failed.",
		Fix: "add misc_timeout SECONDS",
		check: func(l *linter, v *VirtualServer, _ *RealServer, c *Check) {
			if c.Kind == "MISC_CHECK" && c.timed == 0 && c.first {
				l.say(c.Pos, "the script has no timeout of its own")
			}
		},
	},
	{
		Code: "script-two-words", Severity: Warning,
		Why: "Of a command that is not quoted only the first word counts; the rest is dropped, or read as a user.",
		Fix: `quote the whole command: "COMMAND ARGUMENT"`,
		check: func(l *linter, _ *VirtualServer, _ *RealServer, c *Check) {
			if len(c.Command) > 1 {
				l.say(c.Pos, "misc_path has more than one word: %q is not passed on", c.Command[1])
			}
		},
	},
	{
		Code: "other-port", Severity: Warning,
		Why: "With DR and TUN packets reach the real server as they are: it cannot listen on another port than the service's.",
		Fix: "give real_server the service's port, or use lb_kind NAT",
		server: func(l *linter, v *VirtualServer, r *RealServer) {
			if r.Method != "NAT" && r.written.Port() != 0 && v.Addr.Port() != 0 && r.written.Port() != v.Addr.Port() {
				l.say(r.Pos, "%s cannot change port %d to %d", r.Method, v.Addr.Port(), r.written.Port())
			}
		},
	},
	{
		Code: "nat-return-path", Severity: Note,
		Why: "With NAT the answers must come back through this host: it has to be the real servers' way to the clients, and to forward. Else connections hang, while checks from here succeed.",
		Fix: "make this host the real servers' default gateway and set net.ipv4.ip_forward",
		service: func(l *linter, v *VirtualServer) {
			for _, r := range v.RealServers {
				if r.Method == "NAT" {
					l.say(r.Pos, "with NAT real_server %v must answer through this host", r.Addr)
					return
				}
			}
		},
	},
	{
		Code: "persistence-hides", Severity: Note,
		Why: "A long persistence_timeout keeps clients on their server. After one that was out returns, or after one is added, it stays idle for that long.",
		Fix: "lower persistence_timeout",
		service: func(l *linter, v *VirtualServer) {
			if v.Persistence > longMemory {
				l.say(v.Pos, "clients stay with their server for %v", v.Persistence)
			}
		},
	},
	{
		Code: "sorry-without-inhibit", Severity: Note,
		Why: "When the sorry server gives back it is removed, and connections to it are cut; so are those of real servers that are removed when it takes over.",
		Fix: "add sorry_server_inhibit, and inhibit_on_failure to the real servers",
		service: func(l *linter, v *VirtualServer) {
			if v.SorryServer != nil && !v.SorryServerInhibit {
				l.say(v.SorryServer.Pos, "connections to the sorry server are cut when it gives back")
			}
		},
	},
	{
		Code: "weights-unused", Severity: Note,
		Why: "Schedulers such as rr and lc take no notice of weights.",
		Fix: "use wrr or wlc",
		service: func(l *linter, v *VirtualServer) {
			if v.Scheduler != "rr" && v.Scheduler != "lc" {
				return
			}
			for _, r := range v.RealServers {
				if r.Weight != v.RealServers[0].Weight && r.Weight > 0 && v.RealServers[0].Weight > 0 {
					l.say(r.Pos, "lb_algo %s takes no notice of weight %d", v.Scheduler, r.Weight)
					return
				}
			}
		},
	},
	{
		Code: "weight-zero", Severity: Note,
		Why: "A server of weight 0 gets no new connections, however well it is.",
		Fix: "give it a weight when it shall serve",
		server: func(l *linter, _ *VirtualServer, r *RealServer) {
			if r.Weight == 0 {
				l.say(r.Pos, "real_server %v has weight 0: it gets no new connections", r.Addr)
			}
		},
	},
	{
		Code: "single-server", Severity: Note,
		Why: "A service with one real server and no sorry server has nobody to turn to when its check fails: taking the server out cuts off its last clients.",
		Fix: "add a second real server or a sorry_server",
		service: func(l *linter, v *VirtualServer) {
			if len(v.RealServers) == 1 && v.SorryServer == nil && !v.wrong.has("real_server", "sorry_server") {
				l.say(v.Pos, "virtual_server %s has one real server", v)
			}
		},
	},
	{
		Code: "no-server", Severity: Warning,
		Why: "A service without real servers refuses every client.",
		Fix: "add real_server ADDR PORT { }",
		service: func(l *linter, v *VirtualServer) {
			if len(v.RealServers) == 0 && !v.wrong.has("real_server") {
				l.say(v.Pos, "virtual_server %s has no real server", v)
			}
		},
	},
	{
		Code: "server-is-vip", Severity: Warning,
		Why: "A real server with the address of the service, or with one that VRRP moves, sends packets round in circles.",
		Fix: "use the server's own address",
		server: func(l *linter, v *VirtualServer, r *RealServer) {
			if r.Addr.Addr() == v.Addr.Addr() || l.vips[r.Addr.Addr()] {
				l.say(r.Pos, "real_server %v is a virtual address", r.Addr)
			}
		},
	},
	{
		Code: "vip-not-held", Severity: Note,
		Why: "The service's address is held by no instance of this file: on failover nobody takes it along.",
		Fix: "add it to a virtual_ipaddress",
		service: func(l *linter, v *VirtualServer) {
			if v.Addr.IsValid() && len(l.cfg.Instances) > 0 && !l.vips[v.Addr.Addr()] {
				l.say(v.Pos, "no vrrp_instance holds %v", v.Addr.Addr())
			}
		},
	},
	{
		Code: "owner-by-accident", Severity: Warning,
		Why: "state MASTER without a priority makes an instance the owner of its addresses, priority 255: it always preempts, and two of them fight.",
		Fix: "give it a priority below 255",
		instance: func(l *linter, v *VRRPInstance) {
			if v.State == "MASTER" && !v.prioritySet {
				l.say(v.Pos, "instance %s has state MASTER and no priority: it becomes the owner of its addresses, priority 255", v.Name)
			}
		},
	},
	{
		Code: "priority-255", Severity: Note,
		Why: "Priority 255 is for the router whose own addresses the virtual ones are. It preempts whatever nopreempt says, and its priority never moves.",
		Fix: "use 254 or less",
		instance: func(l *linter, v *VRRPInstance) {
			if v.prioritySet && v.Priority == 255 {
				l.say(v.Pos, "instance %s has priority 255, the owner's", v.Name)
			}
		},
	},
	{
		Code: "default-priority", Severity: Note,
		Why: "Two routers with the default priority are equal: the higher address wins, which nobody has chosen.",
		Fix: "add priority N, another one on each router",
		instance: func(l *linter, v *VRRPInstance) {
			if !v.prioritySet && v.State != "MASTER" {
				l.say(v.Pos, "instance %s has no priority: it is 100, as on every other router without one", v.Name)
			}
		},
	},
	{
		Code: "pass-in-clear", Severity: Note,
		Why: "auth_type PASS sends the password in clear text to everyone on the link. It guards against mistakes, not against people; RFC 3768 removed it.",
		Fix: "keep strangers off the link, or use auth_hmac",
		instance: func(l *linter, v *VRRPInstance) {
			if v.AuthType == "PASS" {
				l.say(v.Pos, "instance %s: the password goes over the link in clear text", v.Name)
			}
		},
	},
	{
		Code: "slow-failover", Severity: Note,
		Why: "The others wait three advert intervals and a bit before they take over.",
		Fix: "lower advert_int; version 3 takes parts of a second",
		instance: func(l *linter, v *VRRPInstance) {
			if d := v.masterDown(); d > slowFailover {
				l.say(v.Pos, "instance %s: a dead master is replaced after 3 x %v and a bit = %v", v.Name, v.AdvertInt, d.Round(10*time.Millisecond))
			}
		},
	},
	{
		Code: "unicast-without-source", Severity: Note,
		Why: "Without unicast_src_ip the source of adverts is the interface's first address, which may not be the one that the peers expect, and changes with the order of addresses.",
		Fix: "add unicast_src_ip ADDR",
		instance: func(l *linter, v *VRRPInstance) {
			if len(v.UnicastPeers) > 0 && !v.UnicastSource.IsValid() && !v.SourceIP.IsValid() {
				l.say(v.Pos, "instance %s has unicast peers and no unicast_src_ip", v.Name)
			}
		},
	},
	{
		Code: "loopback", Severity: Warning,
		Why: "Adverts by multicast on the loopback interface reach nobody: every router believes that it is alone, and all hold the addresses. keepalived takes the instance as one without an interface.",
		Fix: "name the interface to the other routers",
		instance: func(l *linter, v *VRRPInstance) {
			if v.Interface == "lo" && len(v.UnicastPeers) == 0 {
				l.say(v.Pos, "instance %s is on lo, where nobody hears it", v.Name)
			}
		},
	},
	{
		Code: "ipv6-link-local", Severity: Note,
		Why: "RFC 9568, Section 5.2.9, wants a link-local address first among the virtual addresses of an IPv6 instance: hosts use it as the router's.",
		Fix: "put an address of fe80::/10 first",
		instance: func(l *linter, v *VRRPInstance) {
			if v.is6() && len(v.Addresses) > 0 && !v.Addresses[0].Prefix.Addr().IsLinkLocalUnicast() {
				l.say(v.Addresses[0].Pos, "the first virtual address of instance %s is not link-local", v.Name)
			}
		},
	},
	{
		Code: "address-twice", Severity: Warning,
		Why: "An address in two instances is on two interfaces, or taken away by the one that loses while the other still wants it.",
		Fix: "remove one",
		whole: func(l *linter) {
			first := make(map[netip.Addr]*VRRPInstance)
			for _, v := range l.cfg.Instances {
				for _, a := range v.held() {
					if other := first[a.Prefix.Addr()]; other != nil {
						l.say(a.Pos, "%v is an address of instance %s already", a.Prefix.Addr(), other.Name)
						continue
					}
					first[a.Prefix.Addr()] = v
				}
			}
		},
	},
	{
		Code: "late-globals", Severity: Note,
		Why: "keepalived copies some defaults of global_defs when an instance begins (garp delays and repeats, down_timer_adverts, checksum form): what follows later does not reach it.",
		Fix: "put global_defs first",
		whole: func(l *linter) {
			for _, v := range l.cfg.Instances {
				if g := l.cfg.Global.Pos; g.Line > 0 && g.File == v.File && g.Line > v.Line {
					l.say(g, "global_defs stands after instance %s", v.Name)
					return
				}
			}
		},
	},
	{
		Code: "alert-without-server", Severity: Warning,
		Why: "smtp_alert asks for mail, and without smtp_server and notification_email none is sent.",
		Fix: "add smtp_server and notification_email to global_defs",
		whole: func(l *linter) {
			if l.cfg.Global.Mail.Server != "" && len(l.cfg.Global.Mail.To) > 0 {
				return
			}
			for _, v := range l.cfg.Instances {
				if v.Mail {
					l.say(v.Pos, "instance %s asks for mail, and nobody gets any", v.Name)
					return
				}
			}
			for _, v := range l.cfg.VirtualServers {
				if v.Mail {
					l.say(v.Pos, "virtual_server %s asks for mail, and nobody gets any", v)
					return
				}
			}
		},
	},
	{
		Code: "script-security", Severity: Warning,
		Why: "Without enable_script_security scripts run as root even where others than root can change them; keepalived's own test of a configuration refuses it.",
		Fix: "add enable_script_security and script_user to global_defs",
		whole: func(l *linter) {
			if l.cfg.program.Line > 0 && !l.cfg.Global.ScriptSecurity {
				l.say(l.cfg.program, "scripts run without script security")
			}
		},
	},
	{
		Code: "script-no-patience", Severity: Note,
		Why: "A script without fall moves the address on its first failure, and back on its first success: it flaps.",
		Fix: "add fall 2 and rise 2, or more",
		whole: func(l *linter) {
			for _, s := range l.cfg.Scripts {
				if s.Fall < 2 && s.Rise < 2 {
					l.say(s.Pos, "vrrp_script %s needs one failure to move an instance, and one success to move it back", s.Name)
				}
			}
		},
	},
	{
		Code: "weight-clamped", Severity: Note,
		Why: "Priorities stay between 1 and 254. A weight that leads beyond has no full effect, and two routers may end up equal.",
		Fix: "choose priorities and weights whose sums stay between 1 and 254",
		instance: func(l *linter, v *VRRPInstance) {
			for _, t := range v.Tracks {
				w := l.weight(t)
				if sum := v.Priority + w; v.Priority < 255 && w != 0 && (sum > 254 || sum < 1) {
					l.say(t.Pos, "priority %d with weight %d is beyond 1 to 254", v.Priority, w)
				}
			}
		},
	},
	{
		Code: "links-apart", Severity: Note,
		Why: "Instances on several interfaces that are not in a sync group fail over one by one: packets come in through one router and go out through another.",
		Fix: "put them into one vrrp_sync_group",
		whole: func(l *linter) {
			if len(l.cfg.SyncGroups) > 0 {
				return
			}
			for _, v := range l.cfg.Instances {
				if v.Interface != l.cfg.Instances[0].Interface {
					l.say(v.Pos, "instances %s and %s are on two interfaces and in no sync group", l.cfg.Instances[0].Name, v.Name)
					return
				}
			}
		},
	},
}

// weight is what a tracker moves a priority by.
func (l *linter) weight(t Track) int {
	if t.Kind == "file" && !t.HasWeight {
		return 0 // that of a file depends on what is in it
	}
	return l.cfg.weight(t)
}
