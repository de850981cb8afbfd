package config

import (
	"net/netip"
	"time"
)

// ServerGroup is a virtual_server_group.
type ServerGroup struct {
	Pos
	Name    string
	Entries []GroupEntry
}

// VirtualServer is a virtual_server.
type VirtualServer struct {
	Pos
	// Addr, FWMark or the name of a virtual_server_group.
	Addr     netip.AddrPort
	FWMark   uint32
	Group    string
	Entries  []GroupEntry // of the group
	Protocol string       // TCP, UDP or SCTP; empty with a mark
	// Family of marks is inet or inet6: ip_family, or that of the granularity; empty when neither is said.
	Family string
	// Scheduler is lb_algo, wlc unless said otherwise; Method is lb_kind, NAT unless said otherwise, with its options.
	Scheduler, Method  string
	Tunnel             Tunnel
	Persistence        time.Duration // persistence_timeout, 0 for none
	Granularity        int           // prefix length, 0 for all of the address
	Engine             string        // persistence_engine, empty without persistence
	OnePacket          bool
	Flag1, Flag2       bool // sh-fallback or mh-fallback, sh-port or mh-port
	Flag3              bool
	Quorum, Hysteresis int
	SorryServer        *RealServer
	SorryServerInhibit bool
	RealServers        []*RealServer
	SMTPAlert          bool
	HASuspend          bool
	Omega              bool

	granularityFamily string
	virtualhost       string
	alpha             bool
	inhibit           bool
	weight            int
	policy            policy
}

// Tunnel are the options of the method TUN.
type Tunnel struct {
	Type     string // ipip, gue or gre; empty is ipip
	Port     int    // of gue
	Checksum string // nocsum, csum or remcsum; empty is nocsum
}

// RealServer is a real_server, or a sorry_server.
type RealServer struct {
	Pos
	Addr                           netip.AddrPort
	Weight                         int
	Method                         string
	Tunnel                         Tunnel
	InhibitOnFailure               bool
	UpperThreshold, LowerThreshold int
	Checks                         []*Check

	virtualhost string
	policy      policy
	end         Pos
	written     netip.AddrPort // as it stands in the file
}

// Check is a checker with everything inherited from its real server and virtual server.
type Check struct {
	Pos
	Kind string // TCP_CHECK, HTTP_GET, ...
	// Runs says that there is such a checker here.
	Runs bool
	// Command are the words of misc_path; Args are the program and its arguments, which are in the first of them. User and
	// Group are script_user unless said otherwise. Tracks is what a FILE_CHECK or BFD_CHECK names.
	Command, Args []string
	User, Group   string
	Tracks        string
	// ServerName is the name of a SSL_GET for SNI, empty for none: sni_name, or with enable_sni the virtualhost.
	ServerName string
	// Helo is helo_name; DNSName and DNSType are the question of a DNS_CHECK, "." and SOA unless said otherwise.
	Helo             string
	DNSName, DNSType string
	// Payload of a UDP_CHECK; Reply is require_reply, with Pattern and Mask, and its lengths.
	Payload            []byte
	Reply              bool
	Pattern, Mask      []byte
	ReplyMin, ReplyMax int
	// Addr is where to connect: connect_ip and connect_port, else the real server's.
	Addr   netip.AddrPort
	Source netip.Addr // bindto
	URLs   []*URL
	// Alpha makes the server count as down until its first success.
	Alpha bool
	// Retry is how many more attempts follow a first failure.
	Retry                                               int
	DelayLoop, DelayBeforeRetry, ConnectTimeout, Warmup time.Duration

	ip          netip.Addr
	port        int
	timed       time.Duration // misc_timeout
	first       bool          // of its kind in its service
	sni         bool          // enable_sni
	end         Pos
	virtualhost string
	policy      policy
}

// URL is one url of an HTTP_GET.
type URL struct {
	Pos
	Path        string
	VirtualHost string
	// Status lists the codes that are well; empty means 200 to 299.
	Status []StatusRange
	Digest string // MD5 in hexadecimal
	// Matches says that the url has a digest or a regex.
	Matches bool

	end Pos
}

// StatusRange is a range of status codes, both ends included.
type StatusRange struct{ Low, High int }

// policy is what virtual server, real server and checker may each say; nil is silence.
type policy struct {
	retry                                        *int
	delayLoop, delayBeforeRetry, timeout, warmup *time.Duration
	alpha                                        *bool
}
