package ipvs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"sync"
	"time"

	moby "github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel speaks through moby/ipvs, which answers one request at a time.
type kernel struct {
	mu     sync.Mutex // guards handle
	handle *moby.Handle
}

// openKernel asks for the family first: moby's constructor would run modprobe and log, where we want to say what is missing.
func openKernel() (Table, error) {
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return nil, noIPVS(err)
	}
	handle, err := moby.New("")
	if err != nil {
		return nil, fmt.Errorf("ipvs: open: %w", err)
	}
	k := &kernel{handle: handle}
	if _, err := k.Services(context.Background()); err != nil {
		handle.Close()
		return nil, err
	}
	return k, nil
}

func ensureModule() error {
	if _, err := netlink.GenlFamilyGet("IPVS"); err == nil {
		return nil
	}
	if out, err := exec.Command("modprobe", "ip_vs").CombinedOutput(); err != nil {
		return noIPVS(fmt.Errorf("modprobe ip_vs: %w: %s", err, bytes.TrimSpace(out)))
	}
	return nil
}

func (k *kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.handle.Close()
	return nil
}

func (k *kernel) Services(ctx context.Context) ([]ServiceStatus, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := k.handle.GetServices()
	if err != nil {
		return nil, readError("services", err)
	}
	all := make([]ServiceStatus, 0, len(list))
	for _, s := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dests, err := k.handle.GetDestinations(s)
		if errors.Is(err, unix.ESRCH) {
			continue // removed since the list was read
		}
		status := fromKernel(s)
		if err != nil {
			return nil, readError("destinations of "+status.ServiceKey.String(), err)
		}
		for _, d := range dests {
			status.Destinations = append(status.Destinations, destinationFromKernel(d))
		}
		all = append(all, status)
	}
	return all, nil
}

func (k *kernel) Service(ctx context.Context, key ServiceKey) (ServiceStatus, error) {
	all, err := k.Services(ctx)
	if err != nil {
		return ServiceStatus{}, err
	}
	for _, s := range all {
		if s.ServiceKey == key {
			return s, nil
		}
	}
	return ServiceStatus{}, fmt.Errorf("ipvs: read %v: %w", key, ErrServiceNotFound)
}

func readError(what string, err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("ipvs: list %s: %w: run as root or with CAP_NET_ADMIN", what, err)
	}
	return fmt.Errorf("ipvs: list %s: %w", what, err)
}

func (k *kernel) Apply(ctx context.Context, plan Plan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, op := range plan {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, fmt.Errorf("ipvs: %v %v not tried: %w", op.Action, op.Service.ServiceKey, err))...)
		}
		if err := k.do(op); err != nil {
			errs = append(errs, opError(op, err))
		}
	}
	return errors.Join(errs...)
}

func (k *kernel) do(op Op) error {
	s, d := toKernel(&op.Service), destinationToKernel(&op.Destination)
	switch op.Action {
	case AddService:
		return k.handle.NewService(s)
	case EditService:
		return k.handle.UpdateService(s)
	case DeleteService:
		return k.handle.DelService(s)
	case AddDestination:
		return k.handle.NewDestination(s, d)
	case EditDestination:
		return k.handle.UpdateDestination(s, d)
	case DeleteDestination:
		return k.handle.DelDestination(s, d)
	}
	return unix.EINVAL
}

// opError maps an errno by operation (net/netfilter/ipvs/ip_vs_ctl.c): ESRCH is a missing service; ENOENT is a missing
// destination for operations on destinations, and a missing scheduler for those on services.
func opError(op Op, err error) error {
	e := &Error{Op: op, Err: err}
	onService := op.Action <= DeleteService
	switch {
	case errors.Is(err, unix.ESRCH):
		e.Kind = ErrServiceNotFound
	case errors.Is(err, unix.ENOENT) && onService:
		e.Kind = ErrSchedulerNotFound
	case errors.Is(err, unix.ENOENT):
		e.Kind = ErrDestinationNotFound
	case errors.Is(err, unix.EEXIST):
		e.Kind = ErrExists
	}
	return e
}

func toKernel(s *Service) *moby.Service {
	m := &moby.Service{
		SchedName: s.scheduler(), Flags: uint32(s.Flags & settable), Timeout: uint32(s.Persistence / time.Second),
		FWMark: s.FWMark, AddressFamily: unix.AF_INET,
	}
	if s.is6() {
		m.AddressFamily, m.Netmask = unix.AF_INET6, uint32(s.granularity())
	} else {
		m.Netmask = binary.NativeEndian.Uint32(net.CIDRMask(s.granularity(), 32))
	}
	if s.Persistence > 0 {
		m.Flags |= uint32(flagPersistent)
	}
	if s.FWMark == 0 {
		m.Protocol, m.Address, m.Port = uint16(s.Protocol), s.Addr.Addr().AsSlice(), s.Addr.Port()
	}
	return m
}

func fromKernel(m *moby.Service) ServiceStatus {
	var s ServiceStatus
	s.FWMark, s.Scheduler, s.Flags = m.FWMark, m.SchedName, Flags(m.Flags)&settable
	s.IPv6 = m.FWMark != 0 && m.AddressFamily == unix.AF_INET6
	if m.FWMark == 0 {
		s.Protocol, s.Addr = Protocol(m.Protocol), addrPortOf(m.Address, m.Port)
	}
	if Flags(m.Flags)&flagPersistent != 0 {
		s.Persistence = time.Duration(m.Timeout) * time.Second
		s.Granularity = granularityFromKernel(m)
	}
	s.Stats = statsFromKernel(m.Stats)
	return s
}

func granularityFromKernel(m *moby.Service) int {
	if m.AddressFamily == unix.AF_INET6 {
		return int(m.Netmask)
	}
	var mask [4]byte
	binary.NativeEndian.PutUint32(mask[:], m.Netmask)
	bits, _ := net.IPMask(mask[:]).Size()
	return bits
}

func addrPortOf(ip net.IP, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), port)
}

func destinationToKernel(d *Destination) *moby.Destination {
	return &moby.Destination{
		Address: d.Addr.Addr().AsSlice(), Port: d.Addr.Port(), Weight: d.Weight, ConnectionFlags: uint32(d.Forward),
		UpperThreshold: d.UpperThreshold, LowerThreshold: d.LowerThreshold,
	}
}

func destinationFromKernel(m *moby.Destination) DestinationStatus {
	return DestinationStatus{
		Destination: Destination{
			Addr: addrPortOf(m.Address, m.Port), Forward: Forward(m.ConnectionFlags & moby.ConnFwdMask), Weight: m.Weight,
			UpperThreshold: m.UpperThreshold, LowerThreshold: m.LowerThreshold,
		},
		ActiveConnections: m.ActiveConnections, InactiveConnections: m.InactiveConnections,
		Stats: statsFromKernel(moby.SvcStats(m.Stats)),
	}
}

func statsFromKernel(s moby.SvcStats) Stats {
	return Stats{
		Connections: uint64(s.Connections), PacketsIn: uint64(s.PacketsIn), PacketsOut: uint64(s.PacketsOut),
		BytesIn: s.BytesIn, BytesOut: s.BytesOut,
	}
}
