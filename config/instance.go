package config

import (
	"net/netip"
	"time"
)

// SyncGroup is a vrrp_sync_group.
type SyncGroup struct {
	Pos
	Name    string
	Members []Word
	Tracks  []Track
	// Weights is sync_group_tracking_weight: weights of members' own trackers count. Without, an interface with a weight and a
	// file of weight 1 take to FAULT; scripts, BFD sessions and other files with a weight do nothing. Processes count anyway.
	Weights bool
	Notification
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
	Groups      bool // the user's other groups count too

	end Pos
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
	HMAC         HMAC // auth_hmac
	// Addresses are virtual_ipaddress, Excluded virtual_ipaddress_excluded.
	Addresses, Excluded []VirtualAddress
	NoAddresses         bool // no_virtual_ipaddress
	// Routes are virtual_routes, Rules virtual_rules.
	Routes, Rules      []HostEntry
	UnicastSource      netip.Addr
	UnicastPeers       []UnicastPeer
	CheckUnicastSource bool       // check_unicast_src
	MulticastGroup     netip.Addr // mcast_dst_ip
	// VMAC is use_vmac, with the name, MAC address and group that are given.
	VMAC               bool
	VMACName           string
	VMACAddress        [6]byte
	VMACGroup          uint32
	VMACAddr           bool // use_vmac_addr
	VMACXmitBase       bool // vmac_xmit_base
	IPVLAN             IPVLAN
	NoAccept           bool // no_accept, or strict without accept
	PromoteSecondaries bool
	Strict             bool
	Notification
	Tracks []Track
	// GARPMasterDelay is the time until the second burst, 0 for none. GARPMasterRepeat is the rounds of a burst.
	GARPMasterDelay   time.Duration
	GARPMasterRepeat  int
	GARPMasterRefresh time.Duration
	// GARPMasterRefreshRepeat is the rounds of a refresh. GARPLowerPrioRepeat, 0 for none, and GARPLowerPrioDelay are for a
	// lower-priority MASTER.
	GARPMasterRefreshRepeat int
	GARPLowerPrioRepeat     int
	GARPLowerPrioDelay      time.Duration
	// ExtraGARP is garp_extra_if.
	ExtraGARP ExtraGARP
	// StartupDelay and DelayAfterBoot are global_defs'.
	StartupDelay, DelayAfterBoot time.Duration
	// DownTimerAdverts is 3 unless said otherwise.
	DownTimerAdverts                                            int
	LowerPrioNoAdvert, HigherPrioSendAdvert, OwnerIgnoreAdverts bool
	// TimerExpiredBackup is the priority, 254 unless said otherwise, or 0 for off.
	TimerExpiredBackup int
	ChecksumAsV2       bool // v3_checksum_as_v2
	// OldUnicastChecksum is "old", "never" or empty.
	OldUnicastChecksum string

	// UnicastTTL is unicast_ttl, 0 for 255. FaultNoPeer is unicast_fault_no_peer.
	UnicastTTL  int
	FaultNoPeer bool
	IgnoreLink  bool // dont_track_primary
	TrackSource bool // track_src_ip
	// VRF is the VRF of an instance without an interface.
	VRF string
	// PollLink is linkbeat_use_polling.
	PollLink bool
	// ReceiveBuffer is kernel_rx_buf_size, 0 for the default.
	ReceiveBuffer int

	vmacShort     bool // VMACAddress lacks its last octet
	prioritySet   bool
	wrong         wrong
	accept        *bool
	globals       Global // those above the instance, which some defaults are of
	said          said
	syncInterface string
}

// IPVLAN is use_ipvlan, with what is given of it.
type IPVLAN struct {
	Use   bool
	Name  string
	Addr  netip.Prefix // the link's own
	Mode  string       // bridge, private or vepa; empty for bridge
	Group uint32
}

// ExtraGARP is [all] SECS of garp_extra_if. 0 means never.
type ExtraGARP struct {
	Period time.Duration
	All    bool

	said bool
}

// UnicastPeer is an entry of unicast_peer. MaxTTL 0 means 255.
type UnicastPeer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL uint8
}

// HMAC is an auth_hmac block.
type HMAC struct {
	Pos
	Keys      []HMACKey
	Active    int
	Mode      string // enforce, permissive or receive-only; enforce unless said otherwise
	Window    time.Duration
	Monotonic bool // anti_replay monotonic
}

// HMACKey is a key of auth_hmac.
type HMACKey struct {
	Pos
	ID int
	// Value is text, or hex:DIGITS, or file:PATH.
	Value string
}
