package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// ConflictKind is a way in which routers do not agree.
type ConflictKind uint8

// The kinds of conflicts.
const (
	ConflictMaster   ConflictKind = iota + 1 // another MASTER, that should yield to us, for our VRID
	ConflictOwner                            // another router of priority 255
	ConflictSource                           // adverts from our own address that are not ours, or come back to us
	ConflictVersion                          // another version of the protocol
	ConflictChecksum                         // a checksum that is wrong, or right in another form than ours
	ConflictAuth                             // authentication of another type, or that fails
	ConflictInterval                         // another advertisement interval
	ConflictAddrs                            // another list of virtual addresses
	ConflictPeer                             // a peer that adverts cannot be sent to, or a stranger that sends them
	ConflictClaim                            // another host says on the link that it has one of our addresses, and sends no adverts that we accept
	conflictKinds
)

var conflictNames = [conflictKinds]string{
	ConflictMaster: "master", ConflictOwner: "owner", ConflictSource: "source", ConflictVersion: "version", ConflictChecksum: "checksum",
	ConflictAuth: "auth", ConflictInterval: "interval", ConflictAddrs: "addresses", ConflictPeer: "peer", ConflictClaim: "claim",
}

// String is one word.
func (k ConflictKind) String() string {
	if k > 0 && k < conflictKinds {
		return conflictNames[k]
	}
	return fmt.Sprintf("ConflictKind(%d)", uint8(k))
}

// MarshalText is String, so that a ConflictKind reads well in JSON.
func (k ConflictKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Conflict is a sign of split brain, or of what leads there: routers that are configured differently, or do not hear each
// other. A lasting one is told of again every minute, and after each change of state.
type Conflict struct {
	// Instance is the name of the instance.
	Instance string
	// At is when it was noticed.
	At   time.Time
	Kind ConflictKind
	// From is the address of the other router; of a ConflictClaim the virtual address that another host claims.
	From netip.Addr
	// Detail is one line for a person.
	Detail string
}

// String reads like a log line.
func (c Conflict) String() string {
	return fmt.Sprintf("%s: conflict with %v: %v: %s", c.Instance, c.From, c.Kind, c.Detail)
}

// conflictAgain is how often a lasting conflict is told of.
const conflictAgain = time.Minute

// conflicts counts the conflicts of one instance, and says which are worth telling.
type conflicts struct {
	told   [conflictKinds]time.Time
	counts [conflictKinds]uint64
}

// note counts a conflict and says whether to tell of it.
func (c *conflicts) note(now time.Time, kind ConflictKind) bool {
	c.counts[kind]++
	if last := c.told[kind]; !last.IsZero() && now.Sub(last) < conflictAgain {
		return false
	}
	c.told[kind] = now
	return true
}

// forget makes the next conflict of each kind worth telling.
func (c *conflicts) forget() { c.told = [conflictKinds]time.Time{} }

// all are the conflicts so far, by the names of their kinds.
func (c *conflicts) all() map[string]uint64 {
	m := make(map[string]uint64)
	for kind, n := range c.counts {
		if n > 0 {
			m[ConflictKind(kind).String()] = n
		}
	}
	return m
}

// conflictOf is what a packet's error says about the sender's configuration; 0 for what says nothing about it.
func conflictOf(kind error) ConflictKind {
	switch kind {
	case ErrVersion:
		return ConflictVersion
	case ErrChecksum:
		return ConflictChecksum
	case ErrInterval:
		return ConflictInterval
	case ErrAddressList:
		return ConflictAddrs
	case ErrPeer:
		return ConflictPeer
	case ErrAuthType, ErrAuthMismatch, ErrAuthFailure, ErrHMACMissing, ErrHMACMalformed, ErrHMACStale, ErrHMACUnknownKey, ErrHMACInvalid:
		return ConflictAuth
	}
	return 0
}
