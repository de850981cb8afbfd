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
	Notification
	HASuspend bool
	Omega     bool

	granularityFamily string
	wrong             wrong
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
	Notification
	Checks []*Check

	wrongCheck  bool // it has a check that could not be read
	virtualhost string
	policy      policy
	end         Pos
	written     netip.AddrPort // as it stands in the file
}

// Check is a checker with everything inherited from its real server and virtual server.
type Check struct {
	Pos
	Kind string // TCP_CHECK, HTTP_GET, ...
	// CheckOptions is never nil. It is shared, and empty, where the kind has none of them: thousands of TCP checks are small.
	*CheckOptions
	// Addr is where to connect: connect_ip and connect_port, else the real server's.
	Addr netip.AddrPort
	// Source and SourcePort are bindto and bind_port, Interface is bind_if, Mark is fwmark.
	Source     netip.Addr
	SourcePort int
	Interface  string
	Mark       uint32
	// Alpha makes the server count as down until its first success.
	Alpha bool
	// LogFailures is log_all_failures, or checker_log_all_failures.
	LogFailures bool
	// Retry is how many more attempts follow a first failure.
	Retry                                               int
	DelayLoop, DelayBeforeRetry, ConnectTimeout, Warmup time.Duration

	first       bool // of its kind in its service
	ip          netip.Addr
	port        int
	logFailures *bool
	policy      policy
}

// CheckOptions are what only some kinds of check have.
type CheckOptions struct {
	// Command are the words of misc_path; Args are the program and its arguments, which are in the first of them. User and
	// Group are script_user unless said otherwise. Tracks is what a FILE_CHECK or BFD_CHECK names.
	Command, Args []string
	User, Group   string
	Groups        bool // the user's other groups count too
	Dynamic       bool // misc_dynamic
	Tracks        string
	// Path is the file of a FILE_CHECK, or what a WEBSOCKET_CHECK asks for; Weight and Reverse are its own, or those of the track_file.
	Path    string
	Weight  int
	Reverse bool
	// URLs and Protocol are those of an HTTP_GET or SSL_GET; http_protocol is 1.0 unless said otherwise.
	URLs     []*URL
	Protocol string
	// SNI says that a SSL_GET sends the name that it asks for: ServerName (sni_name), or without one the url's virtualhost.
	SNI        bool
	ServerName string
	// TLS is what else a SSL_GET says of TLS.
	TLS TLS
	// Secure is tls of the checkers that only Holdfast has; Service, Password, Database, Role and Send are their keywords
	// of these names.
	Secure                                  bool
	Service, Password, Database, Role, Send string
	// VirtualHost is the name that the check asks for: its own, the real server's or the virtual server's.
	VirtualHost string
	// StartTLS is starttls of a SMTP_CHECK.
	StartTLS bool
	// Helo is helo_name; DNSName and DNSType are the question of a DNS_CHECK, "." and SOA unless said otherwise.
	Helo             string
	DNSName, DNSType string
	// Payload of a UDP_CHECK; Reply is require_reply, with Pattern and Mask, and its lengths.
	Payload            []byte
	Reply              bool
	Pattern, Mask      []byte
	ReplyMin, ReplyMax int

	timed       time.Duration // misc_timeout
	hasWeight   bool
	end         Pos
	hosts       []*Node // of a SMTP_CHECK
	virtualhost string
}

// noOptions are those of all checks whose kind has none.
var noOptions = new(CheckOptions)

// plain says that the kind has no options.
func (c *Check) plain() bool { return c.CheckOptions == noOptions }

func optionsOf(kind string) *CheckOptions {
	if kind == "TCP_CHECK" || kind == "PING_CHECK" {
		return noOptions
	}
	return new(CheckOptions)
}

// TLS is what a check says of TLS. Files are named, not read.
type TLS struct {
	// Verify is tls_verify, with CA (tls_ca; empty for the host's) and MinDays (tls_min_days).
	Verify  bool
	CA      string
	MinDays int
	// Certificate and Key are tls_certificate and tls_key, those of the SSL block unless said otherwise.
	Certificate, Key string
	// Compliant is tls_compliant, of the check or of one of its urls.
	Compliant bool
}

// URL is one url of an HTTP_GET.
type URL struct {
	Pos
	Path        string
	VirtualHost string
	// Method, Header (NAME and VALUE), Body and Redirects are those of the request.
	Method    string
	Header    [][2]string
	Body      string
	Redirects int
	// Status lists the codes that are well; empty means 200 to 299.
	Status []StatusRange
	Digest string // MD5 in hexadecimal
	// Regex is nil for none.
	Regex *Regex
	// Text must be in the body, JSON lists pointers and the values there.
	Text string
	JSON [][2]string
	// Within is the longest time that the answer may take, 0 for any.
	Within time.Duration
	// Matches says that the url looks at the body: it has a digest, a regex, text or JSON.
	Matches bool

	end       Pos
	regex     Regex // as it is read, in any order
	compliant bool
}

// Regex is a regex with its options.
type Regex struct {
	Pattern   string
	Options   []string
	NoMatch   bool
	MinOffset int
	MaxOffset int // -1 for none

	pos Pos
}

// StatusRange is a range of status codes, both ends included.
type StatusRange struct{ Low, High int }

// policy is what virtual server, real server and checker may each say; nil is silence.
type policy struct {
	retry                                        *int
	delayLoop, delayBeforeRetry, timeout, warmup *time.Duration
	alpha                                        *bool
}
