package ipvs

import (
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Info is what a table tells of itself.
type Info struct {
	// Version of IPVS, such as 1.2.1.
	Version string
	// TableSize is the number of slots of the hash table of connections.
	TableSize int
}

// Timeouts after which an idle connection is forgotten, in whole seconds.
type Timeouts struct {
	// TCP of an established connection, TCPFin of one that saw a FIN, UDP after a datagram. To set, 0 leaves one as it is.
	TCP, TCPFin, UDP time.Duration
}

// Validate reports a timeout that is no whole number of seconds, or above 31 days.
func (t Timeouts) Validate() error {
	for _, d := range [...]time.Duration{t.TCP, t.TCPFin, t.UDP} {
		if d < 0 || d > maxPersistence || d%time.Second != 0 {
			return fmt.Errorf("ipvs: timeout %v: whole seconds are needed, at most 31 days", d)
		}
	}
	return nil
}

// SyncRole is what a sync daemon does.
type SyncRole uint32

// The roles, by their numbers in the kernel. A machine may have a daemon of each.
const (
	SyncMaster SyncRole = 1 // tells of its connections
	SyncBackup SyncRole = 2 // listens to those of others
)

// String returns ipvsadm's word for the role.
func (r SyncRole) String() string {
	switch r {
	case SyncMaster:
		return "master"
	case SyncBackup:
		return "backup"
	}
	return fmt.Sprintf("SyncRole(%d)", uint32(r))
}

// SyncDaemon copies connections between directors, in the kernel, over multicast.
type SyncDaemon struct {
	Role SyncRole
	// Interface that the multicast goes through. It must be up.
	Interface string
	// ID tells groups of directors apart, 0 to 255. A backup with 0 listens to all.
	ID int
	// MaxLen of a message in bytes. 0 means what the interface's MTU allows. Others than 0 in this and the fields below need
	// Linux 4.3.
	MaxLen int
	// Group is the multicast address. Zero means 224.0.0.81.
	Group netip.Addr
	// Port of UDP. 0 means 8848.
	Port uint16
	// TTL of the packets. 0 means 1.
	TTL uint8
}

// Validate reports what no kernel would take.
func (d *SyncDaemon) Validate() error {
	var err error
	switch {
	case d.Role != SyncMaster && d.Role != SyncBackup:
		err = fmt.Errorf("%v: master and backup exist", d.Role)
	case d.Interface == "" || !validName(d.Interface):
		err = fmt.Errorf("interface %q: a name of at most %d letters is needed", d.Interface, maxName)
	case d.ID < 0 || d.ID > 255:
		err = fmt.Errorf("id %d: must be 0 to 255", d.ID)
	case d.MaxLen < 0 || d.MaxLen > math.MaxUint16:
		err = fmt.Errorf("length %d: must be 0 to %d", d.MaxLen, math.MaxUint16)
	case d.Group.IsValid() && (!validAddr(d.Group) || !d.Group.IsMulticast()):
		err = fmt.Errorf("group %v: a multicast address is needed", d.Group)
	}
	if err != nil {
		return fmt.Errorf("ipvs: sync daemon: %w", err)
	}
	return nil
}

// Connection is one entry of the table of connections.
type Connection struct {
	// Protocol is 0 for templates of services by mark.
	Protocol Protocol
	// Client, Virtual (where the client thinks it is connected to) and Destination.
	Client, Virtual, Destination netip.AddrPort
	// State as the kernel writes it: ESTABLISHED, FIN_WAIT, SYN_RECV, UDP, ... A client's port of 0 is that of a template of
	// persistence.
	State string
	// Expires is when an idle connection is forgotten.
	Expires time.Duration
	// Engine is the persistence engine of the entry and EngineData what it found, such as a Call-ID. Mostly empty.
	Engine, EngineData string
}
