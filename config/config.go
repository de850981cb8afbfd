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
	// Effective and Accepted count the statements that do something here and those that are read and do not.
	Effective, Accepted int
}

// Global is global_defs.
type Global struct {
	// RouterID names this machine. Empty means none.
	RouterID string
	// VRRPVersion is what instances without a version speak: 2 unless said otherwise.
	VRRPVersion int
	// GARPMasterDelay and GARPMasterRepeat are the defaults of the instances: 5 s and 5.
	GARPMasterDelay  time.Duration
	GARPMasterRepeat int
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
	State            string
	NoPreempt        bool
	PreemptDelay     time.Duration
	SourceIP         netip.Addr // mcast_src_ip
	AuthType         string     // PASS, AH or empty
	AuthPass         string
	VirtualAddresses []netip.Prefix
	// GARPMasterDelay is the time until the second burst, 0 for none. GARPMasterRepeat is the rounds of a burst.
	GARPMasterDelay   time.Duration
	GARPMasterRepeat  int
	GARPMasterRefresh time.Duration

	prioritySet, garpDelaySet, garpRepeatSet bool
}

// VirtualServer is a virtual_server.
type VirtualServer struct {
	Pos
	Addr     netip.AddrPort
	FWMark   uint32
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
	// Unchecked lists the checkers that the file asks for and that do not run here.
	Unchecked []string

	virtualhost string
	policy      policy
}

// Check is a TCP_CHECK or an HTTP_GET with everything inherited from its real server and virtual server.
type Check struct {
	Pos
	Kind string // TCP_CHECK or HTTP_GET
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
}

// StatusRange is a range of status codes, both ends included.
type StatusRange struct{ Low, High int }

// policy is what virtual server, real server and checker may each say; nil is silence.
type policy struct {
	retry                                        *int
	delayLoop, delayBeforeRetry, timeout, warmup *time.Duration
	alpha                                        *bool
}
