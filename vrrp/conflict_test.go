package vrrp

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestEveryPacketErrorIsCounted: each sentinel has a counter of its own, and text that says what was seen.
func TestEveryPacketErrorIsCounted(t *testing.T) {
	seen := map[string]error{}
	for _, kind := range []error{ErrLength, ErrVersion, ErrType, ErrTTL, ErrChecksum, ErrVRID, ErrInterval, ErrAddressList, ErrPeer, ErrAuthType, ErrAuthMismatch,
		ErrAuthFailure, ErrHMACMissing, ErrHMACMalformed, ErrHMACStale, ErrHMACUnknownKey, ErrHMACInvalid, ErrHMACReplay} {
		var s Stats
		err := fmt.Errorf("wrapped: %w", &packetError{kind, "%d, want %d", 1, 2})
		if got := s.count(err); got != kind || s == (Stats{}) {
			t.Errorf("%v: counted as %v in %+v", kind, got, s)
		}
		if other := seen[fmt.Sprint(s)]; other != nil {
			t.Errorf("%v and %v have one counter", kind, other)
		}
		seen[fmt.Sprint(s)] = kind
		if !strings.HasSuffix(err.Error(), kind.Error()+" 1, want 2") {
			t.Errorf("text: %v", err)
		}
	}
}

// TestConflictsAreToldOnceAMinute: and each kind for itself, and anew after a change of state.
func TestConflictsAreToldOnceAMinute(t *testing.T) {
	var c conflicts
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	told := 0
	for range 150 { // seconds
		if c.note(now, ConflictAuth) {
			told++
		}
		now = now.Add(time.Second)
	}
	if told != 3 || c.counts[ConflictAuth] != 150 || !c.note(now, ConflictAddrs) {
		t.Errorf("told %d times of %d", told, c.counts[ConflictAuth])
	}
	c.forget()
	if !c.note(now, ConflictAuth) || c.all()["auth"] != 151 || len(c.all()) != 2 {
		t.Errorf("after a change of state: %v", c.all())
	}
	for kind := ConflictKind(1); kind < conflictKinds; kind++ {
		if conflictNames[kind] == "" {
			t.Errorf("kind %d has no name", kind)
		}
	}
}
