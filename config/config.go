package config

import (
	"net/netip"
	"time"
)

// FirstNamespace is the network namespace that the process was started in, whatever net_namespace says. No other has such a name.
const FirstNamespace = "/"

// Config is what a file says, as typed values with the defaults of keepalived resolved.
type Config struct {
	Name           string
	Global         Global
	Instances      []*VRRPInstance
	VirtualServers []*VirtualServer
	SyncGroups     []*SyncGroup
	ServerGroups   []*ServerGroup
	Scripts        []*Script
	Files          []*TrackFile
	Processes      []*TrackProcess
	BFD            []*BFD
	Webhooks       []*Webhook
	// Trackers are all that a track_ list can name, other than a script or an interface.
	Trackers []Tracker
	// GARPGroups, LinkDelays, TrackGroups and StaticAddresses are garp_group, interface_up_down_delays, track_group and
	// static_ipaddress.
	GARPGroups  []*GARPGroup
	LinkDelays  []LinkDelay
	TrackGroups []*TrackGroup
	// LinkPolls are linkbeat_interfaces. PollLinks is linkbeat_use_polling: all interfaces of instances.
	LinkPolls       []LinkPoll
	PollLinks       bool
	StaticAddresses []VirtualAddress
	// StaticRoutes and StaticRules are static_routes and static_rules.
	StaticRoutes, StaticRules []HostEntry
	// ClientCertificate and ClientKey are the files of the SSL block, for every SSL_GET.
	ClientCertificate, ClientKey string
	// NetNamespace and NetNamespaceIPVS are net_namespace and net_namespace_ipvs: where the process runs, and where its table is, by
	// name. Empty means where it was started, and the same as the process. The latter without a name is FirstNamespace.
	NetNamespace, NetNamespaceIPVS string
	// NotHeld are remarks of statements without effect here and without which the rest must not run.
	NotHeld Diagnostics
	// Effective and Accepted count the statements that do something here and those that are read and do not.
	Effective, Accepted int

	program Pos               // where the first program is named
	ignored map[string]string // comments that silence rules, by file and line
}

// Global is global_defs.
type Global struct {
	Pos
	// RouterID names this machine. Empty means none.
	RouterID string
	// VRRPVersion is what instances without a version speak: 2 unless said otherwise.
	VRRPVersion int
	// StartupDelay is vrrp_startup_delay, DelayAfterBoot vrrp_delay_after_boot.
	StartupDelay, DelayAfterBoot time.Duration
	// MulticastGroup4 and MulticastGroup6 are vrrp_mcast_group4 and 6, if they are there.
	MulticastGroup4, MulticastGroup6 netip.Addr
	Mail                             Mail
	// FIFO, VRRPFIFO and LVSFIFO are notify_fifo, vrrp_notify_fifo and lvs_notify_fifo; nil for none.
	FIFO, VRRPFIFO, LVSFIFO *FIFO
	// Startup and Shutdown are startup_script and shutdown_script, with 10 s each unless said otherwise.
	Startup, Shutdown               Command
	StartupTimeout, ShutdownTimeout time.Duration
	// PriorityChanges is vrrp_notify_priority_changes, StatesOnReload is fifo_write_vrrp_states_on_reload, InitialServers is
	// rs_init_notifies.
	PriorityChanges, StatesOnReload, InitialServers bool
	SupplementaryGroups                             bool
	ScriptSecurity                                  bool
	ScriptUser                                      string
	ScriptGroup                                     string
	DynamicInterfaces                               bool
	LVSFlush, LVSFlushOnStop                        bool // the whole table, at the start and at the end
	LVSTimeouts                                     LVSTimeouts
	SyncDaemon                                      *SyncDaemon // nil for none
	ScriptGroups                                    bool        // the groups of ScriptUser count too
	SymlinkPaths                                    bool        // use_symlink_paths
	LogFailures                                     bool        // checker_log_all_failures

	// GARPInterval and GNAInterval are vrrp_garp_interval and vrrp_gna_interval.
	GARPInterval, GNAInterval time.Duration
	// VMACPrefix is vmac_prefix, VMACAddrPrefix vmac_addr_prefix.
	VMACPrefix, VMACAddrPrefix string
	// NFTables is the table of nftables, empty for keepalived. NFTablesPriority is nftables_priority, nil if it is not said.
	NFTables         string
	NFTablesPriority *int32
	NFTablesCounters bool
	NFTablesByIndex  bool // nftables_ifindex
	// RealTime is vrrp_rt_priority, 0 for none; Nice is vrrp_priority, nil for none; NoSwap is vrrp_no_swap, CPUs are
	// vrrp_cpu_affinity.
	RealTime int
	Nice     *int
	NoSwap   bool
	CPUs     []int
	// ExtraGARP is vrrp_garp_extra_if.
	ExtraGARP ExtraGARP
	// LogUnknownVRIDs is log_unknown_vrids, QuietIGMP disable_local_igmp.
	LogUnknownVRIDs, QuietIGMP bool
	// MaxAutoPriority is max_auto_priority, 0 for never; MinAutoPriorityDelay is min_auto_priority_delay, 0 for a second.
	MaxAutoPriority      int
	MinAutoPriorityDelay time.Duration
	// ReceiveBuffer is the number of vrrp_rx_bufs_policy, 0 for none: what instances without kernel_rx_buf_size have.
	ReceiveBuffer int
	// DefaultInterface is that of static addresses without dev. Empty means eth0.
	DefaultInterface string

	said    said
	minGARP bool // vrrp_min_garp
	// StateDumpFile, StatsDumpFile and JSONDumpFile are where dumps go that signals ask for; empty means the usual place.
	StateDumpFile, StatsDumpFile, JSONDumpFile string
	Reload                                     Reload
	// JSONVersion is the layout of the JSON dump: 1, or 2. 0 means 1.
	JSONVersion int
}
