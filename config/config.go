package config

import (
	"net/netip"
	"time"
)

// Config is what a file says, as typed values with the defaults of keepalived resolved.
type Config struct {
	Name           string
	Global         Global
	Instances      []*VRRPInstance
	VirtualServers []*VirtualServer
	SyncGroups     []*SyncGroup
	ServerGroups   []*ServerGroup
	Scripts        []*Script
	Trackers       []Tracker
	// NotHeld are remarks of statements without effect here and without which the rest must not run.
	NotHeld Diagnostics
	// Effective and Accepted count the statements that do something here and those that are read and do not.
	Effective, Accepted int

	ignored map[string]string // comments that silence rules, by file and line
}

// Global is global_defs.
type Global struct {
	Pos
	// RouterID names this machine. Empty means none.
	RouterID string
	// VRRPVersion is what instances without a version speak: 2 unless said otherwise.
	VRRPVersion int
	// GARPMasterDelay and GARPMasterRepeat are the defaults of the instances: 5 s and 5.
	GARPMasterDelay  time.Duration
	GARPMasterRepeat int
	// SMTPServer is where mail goes; empty means nowhere. Recipients counts those of it.
	SMTPServer        string
	Recipients        int
	ScriptSecurity    bool
	ScriptUser        string
	ScriptGroup       string
	Strict            bool // vrrp_strict
	DynamicInterfaces bool
}

// SyncGroup is a vrrp_sync_group.
type SyncGroup struct {
	Pos
	Name    string
	Members []Word
	Tracks  []Track
	// Weights is sync_group_tracking_weight: weights of members' trackers count. Without, such a tracker takes to FAULT.
	Weights bool
}

// Track is an entry of a track_ list.
type Track struct {
	Pos
	Kind      string // script, interface, file, process or bfd
	Name      string
	Weight    int
	HasWeight bool
	Reverse   bool
}

// Tracker is what a track_ list can name, other than a script or an interface.
type Tracker struct {
	Pos
	Kind string // file, process or bfd
	Name string
}

// Script is a vrrp_script. Zero values are what is not said.
type Script struct {
	Pos
	Name string
	// Command are the words of the statement; Args are the program and its arguments, which are in the first of them.
	Command, Args []string
	// Interval is 1 s unless said otherwise, Timeout the interval, Rise and Fall 1.
	Interval, Timeout time.Duration
	Rise, Fall        int
	Weight            int
	Reverse           bool
	// User and Group to run as; script_user unless said otherwise.
	User, Group string

	end Pos
}

// ServerGroup is a virtual_server_group.
type ServerGroup struct {
	Pos
	Name    string
	Entries []GroupEntry
}

// VRRPInstance is a vrrp_instance.
type VRRPInstance struct {
	Pos
	Name      string
	Interface string
	// VRID is virtual_router_id; 0 means that it is missing.
	VRID int
	// Version is the instance's own, or the global one.
	Version int
	// Priority is 100 unless said otherwise, 255 with state MASTER and no priority.
	Priority int
	// AdvertInt is advert_int, 1 s unless said otherwise.
	AdvertInt time.Duration
	// State is MASTER, BACKUP or empty.
	State        string
	NoPreempt    bool
	PreemptDelay time.Duration
	SourceIP     netip.Addr // mcast_src_ip
	AuthType     string     // PASS, AH or empty
	AuthPass     string
	HMAC         bool // it has an auth_hmac block
	// Addresses are virtual_ipaddress, Excluded virtual_ipaddress_excluded.
	Addresses, Excluded []VirtualAddress
	NoAddresses         bool // no_virtual_ipaddress
	UnicastSource       netip.Addr
	UnicastPeers        []netip.Addr
	MulticastGroup      netip.Addr // mcast_dst_ip
	VMAC                bool       // use_vmac or use_ipvlan
	Strict              bool
	SMTPAlert           bool
	Tracks              []Track
	// GARPMasterDelay is the time until the second burst, 0 for none. GARPMasterRepeat is the rounds of a burst.
	GARPMasterDelay   time.Duration
	GARPMasterRepeat  int
	GARPMasterRefresh time.Duration

	prioritySet bool
	garpDelay   *time.Duration
	garpRepeat  *int
	strict      *bool
}

// VirtualServer is a virtual_server.
type VirtualServer struct {
	Pos
	// Addr, FWMark or the name of a virtual_server_group.
	Addr     netip.AddrPort
	FWMark   uint32
	Group    string
	Protocol string // TCP, UDP or SCTP; empty with a mark
	// Scheduler is lb_algo, wlc unless said otherwise; Method is lb_kind, NAT unless said otherwise.
	Scheduler, Method  string
	Persistence        time.Duration // persistence_timeout, 0 for none
	Granularity        int           // prefix length, 0 for all of the address
	OnePacket          bool
	Flag1, Flag2       bool // sh-fallback or mh-fallback, sh-port or mh-port
	Flag3              bool
	Quorum, Hysteresis int
	SorryServer        *RealServer
	SorryServerInhibit bool
	RealServers        []*RealServer
	SMTPAlert          bool
	HASuspend          bool

	virtualhost string
	alpha       bool
	inhibit     bool
	weight      int
	policy      policy
}

// RealServer is a real_server, or a sorry_server.
type RealServer struct {
	Pos
	Addr                           netip.AddrPort
	Weight                         int
	Method                         string
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
