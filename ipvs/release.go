package ipvs

import (
	"errors"
	"fmt"
)

// release is a version of Linux: major and minor.
type release struct{ major, minor int }

func (r release) String() string { return fmt.Sprintf("%d.%d", r.major, r.minor) }

func (r release) before(o release) bool {
	return r.major < o.major || r.major == o.major && r.minor < o.minor
}

// parseRelease reads the beginning of uname's. What it cannot read is taken for a kernel that has everything.
func parseRelease(text string) release {
	var r release
	if n, _ := fmt.Sscanf(text, "%d.%d", &r.major, &r.minor); n != 2 {
		return release{major: 1 << 30}
	}
	return r
}

// requirement is what an older kernel does not know, and would silently leave out.
type requirement struct {
	what  string
	since release
}

// supports tells what this kernel is too old for.
func (r release) supports(op *Op) error {
	if need := op.needs(); r.before(need.since) {
		return r.unsupported(need)
	}
	return nil
}

func (r release) unsupported(need requirement) error {
	return fmt.Errorf("%s: %w: it needs Linux %v, this is %v", need.what, errors.ErrUnsupported, need.since, r)
}

func (o *Op) needs() requirement {
	if o.Action != AddDestination && o.Action != EditDestination {
		return requirement{}
	}
	d := &o.Destination
	switch {
	case d.Forward != Tunnel:
		return requirement{}
	case d.Tunnel.Type == GRE:
		return requirement{"tunnel type gre", release{5, 3}}
	case d.Tunnel.Checksum != NoChecksum:
		return requirement{"tunnel checksum " + d.Tunnel.Checksum.String(), release{5, 3}}
	case d.Tunnel.Type == GUE:
		return requirement{"tunnel type gue", release{5, 2}}
	case d.Addr.Addr().Is6() != o.Service.is6():
		return requirement{"a destination of another family than its service", release{3, 18}}
	}
	return requirement{}
}

func (d *SyncDaemon) needs() requirement {
	if d.MaxLen != 0 || d.Group.IsValid() || d.Port != 0 || d.TTL != 0 {
		return requirement{"a sync daemon's length, group, port and TTL", release{4, 3}}
	}
	return requirement{}
}

// schedulerSince tells of the schedulers that came late.
var schedulerSince = map[string]release{"fo": {3, 18}, "ovf": {4, 3}, "mh": {4, 18}, "twos": {5, 13}}

// errNoIPv6 is a kernel whose ip_vs was built without.
var errNoIPv6 error = &kind{"this kernel's ip_vs was built without IPv6 (CONFIG_IP_VS_IPV6)", errors.ErrUnsupported}
