package ipvstest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// Suite holds a table to the kernel's semantics. open gives an empty table for each test; it is closed at the test's end.
//
// holds tells what the table can hold: services with their destinations. Nil means everything. What it cannot hold it must
// refuse with an error that wraps errors.ErrUnsupported or ipvs.ErrSchedulerNotFound.
func Suite(t *testing.T, open func(t *testing.T) ipvs.Table, holds func(s ipvs.Service) bool) {
	if holds == nil {
		holds = func(ipvs.Service) bool { return true }
	}
	for _, c := range []struct {
		name string
		test func(s *suite)
	}{
		{"EmptyTableIsAnEmptyList", func(s *suite) { s.want("") }},
		{"EverythingIsReadBack", everythingIsReadBack},
		{"OneServiceIsReadAlone", oneServiceIsReadAlone},
		{"EditsAreInPlace", editsAreInPlace},
		{"AnyStateAfterAnyOther", anyStateAfterAnyOther},
		{"DeletingAServiceDeletesItsDestinations", deletingAService},
		{"ErrorsHaveKinds", errorsHaveKinds},
		{"WrongOperationsAreRefused", wrongOperationsAreRefused},
		{"TheRestIsTried", theRestIsTried},
		{"ManyOperationsAtOnce", manyOperationsAtOnce},
		{"ManyCallersAtOnce", manyCallersAtOnce},
		{"EndedContext", endedContext},
		{"Zero", zero},
		{"Flush", flush},
		{"Timeouts", timeouts},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := open(t)
			t.Cleanup(func() { table.Close() })
			c.test(&suite{T: t, table: table, holds: holds})
		})
	}
}

type suite struct {
	*testing.T
	table ipvs.Table
	holds func(ipvs.Service) bool
}

func (s *suite) apply(plan ipvs.Plan) {
	s.Helper()
	if err := s.table.Apply(context.Background(), plan); err != nil {
		s.Fatal(err)
	}
}

// read is all that the table holds.
func (s *suite) read() []ipvs.Service {
	s.Helper()
	status, err := s.table.Services(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	all := make([]ipvs.Service, len(status))
	for i := range status {
		all[i] = status[i].Wish()
	}
	return all
}

// want compares the table with ipvsadm lines.
func (s *suite) want(lines string) {
	s.Helper()
	if got := ipvs.Diff(nil, s.read()).String(); got != lines {
		s.Fatalf("the table holds\n%swant\n%s", got, lines)
	}
}

// wantServices compares the table with a wish.
func (s *suite) wantServices(wish []ipvs.Service) {
	s.Helper()
	have := s.read()
	if plan := ipvs.Diff(have, wish); len(plan) > 0 {
		s.Fatalf("the table holds\n%vand differs from the wish by\n%v", ipvs.Diff(nil, have), plan)
	}
}

func key(addr string) ipvs.ServiceKey {
	return ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort(addr)}
}

func dest(addr string, forward ipvs.Forward, weight int) ipvs.Destination {
	return ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Forward: forward, Weight: weight}
}

func tunnel(addr string, o ipvs.TunnelOptions) ipvs.Destination {
	d := dest(addr, ipvs.Tunnel, 1)
	d.Tunnel = o
	return d
}

// examples are one service for everything that there is to say, with the lines that ipvsadm -Sn prints for each, and
// thresholds.
func examples() map[string]ipvs.Service {
	udp, sctp := key("10.99.0.2:53"), key("10.99.0.2:53")
	udp.Protocol, sctp.Protocol = ipvs.UDP, ipvs.SCTP
	thresholds := dest("10.99.1.1:80", ipvs.Direct, 5)
	thresholds.UpperThreshold, thresholds.LowerThreshold = 100, 50
	all := map[string]ipvs.Service{
		"-A -t 10.99.0.1:80 -s rr\n" +
			"-a -t 10.99.0.1:80 -r 10.99.1.1:80 -g -w 5 -x 100 -y 50\n" +
			"-a -t 10.99.0.1:80 -r 10.99.1.2:80 -i -w 2147483647 --tun-type ipip\n": {
			ServiceKey: key("10.99.0.1:80"), Scheduler: "rr", Destinations: []ipvs.Destination{thresholds, dest("10.99.1.2:80", ipvs.Tunnel, 1<<31-1)}},
		"-A -t 10.99.0.1:443 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port\n" +
			"-a -t 10.99.0.1:443 -r 10.99.1.1:8443 -m -w 0\n": {
			ServiceKey: key("10.99.0.1:443"), Scheduler: "sh", Flags: ipvs.SHFallback | ipvs.SHPort, Persistence: 300 * time.Second,
			Granularity: 24, Destinations: []ipvs.Destination{dest("10.99.1.1:8443", ipvs.Masq, 0)}},
		"-A -t 10.99.0.1:444 -s mh -b mh-fallback,mh-port\n":           {ServiceKey: key("10.99.0.1:444"), Scheduler: "mh", Flags: ipvs.MHFallback | ipvs.MHPort},
		"-A -t 10.99.0.1:445 -s wrr -b flag-1,flag-2,flag-3\n":         {ServiceKey: key("10.99.0.1:445"), Scheduler: "wrr", Flags: ipvs.Sched1 | ipvs.Sched2 | ipvs.Sched3},
		"-A -t 10.99.0.1:446 -s wlc -p 60\n":                           {ServiceKey: key("10.99.0.1:446"), Persistence: time.Minute, Granularity: 32},
		"-A -t 10.99.0.1:0 -s wlc -p 360\n":                            {ServiceKey: key("10.99.0.1:0"), Persistence: 6 * time.Minute},
		"-A -u 10.99.0.2:53 -s wlc -o\n":                               {ServiceKey: udp, Flags: ipvs.OnePacket},
		"-A --sctp-service 10.99.0.2:53 -s wlc -p 60 -M 255.255.0.0\n": {ServiceKey: sctp, Persistence: time.Minute, Granularity: 16},
		"-A -f 7 -s wrr\n-a -f 7 -r 10.99.1.1:80 -m -w 1\n":            {ServiceKey: ipvs.ServiceKey{FWMark: 7}, Scheduler: "wrr", Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1)}},
		"-A -f 7 -6 -s lc\n-a -f 7 -6 -r [fd99::2]:0 -g -w 1\n":        {ServiceKey: ipvs.ServiceKey{FWMark: 7, IPv6: true}, Scheduler: "lc", Destinations: []ipvs.Destination{dest("[fd99::2]:0", ipvs.Direct, 1)}},
		"-A -f 4294967295 -s rr\n":                                     {ServiceKey: ipvs.ServiceKey{FWMark: 1<<32 - 1}, Scheduler: "rr"},
		"-A -t [fd99::1]:80 -s wlc -p 60 -M 64\n":                      {ServiceKey: key("[fd99::1]:80"), Persistence: time.Minute, Granularity: 64},
		"-A -t [fd99::1]:81 -s wlc\n-a -t [fd99::1]:81 -r [fd99::2]:8081 -m -w 65536\n": {
			ServiceKey: key("[fd99::1]:81"), Destinations: []ipvs.Destination{dest("[fd99::2]:8081", ipvs.Masq, 65536)}},
		"-A -t 10.99.0.3:80 -s rr\n" +
			"-a -t 10.99.0.3:80 -r 10.99.1.1:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n" +
			"-a -t 10.99.0.3:80 -r 10.99.1.2:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum\n" +
			"-a -t 10.99.0.3:80 -r 10.99.1.3:80 -i -w 1 --tun-type gre --tun-csum\n" +
			"-a -t 10.99.0.3:80 -r [fd99::2]:80 -i -w 1 --tun-type ipip\n": {
			ServiceKey: key("10.99.0.3:80"), Scheduler: "rr", Destinations: []ipvs.Destination{
				tunnel("10.99.1.1:80", ipvs.TunnelOptions{Type: ipvs.GUE, Port: 6080}),
				tunnel("10.99.1.2:80", ipvs.TunnelOptions{Type: ipvs.GUE, Port: 6081, Checksum: ipvs.RemoteChecksum}),
				tunnel("10.99.1.3:80", ipvs.TunnelOptions{Type: ipvs.GRE, Checksum: ipvs.Checksum}),
				tunnel("[fd99::2]:80", ipvs.TunnelOptions{}),
			}},
	}
	sip := udp
	sip.Addr = netip.MustParseAddrPort("10.99.0.2:5060")
	all["-A -u 10.99.0.2:5060 -s rr -p 60 --pe sip -o\n"] = ipvs.Service{ServiceKey: sip, Scheduler: "rr", Flags: ipvs.OnePacket, Persistence: time.Minute, Engine: "sip"}
	for i, name := range []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"} {
		k := key(fmt.Sprintf("10.99.0.4:%d", 80+i))
		all[fmt.Sprintf("-A -t %v -s %s\n", k.Addr, name)] = ipvs.Service{ServiceKey: k, Scheduler: name}
	}
	return all
}

func everythingIsReadBack(s *suite) {
	for lines, service := range examples() {
		add := ipvs.Diff(nil, []ipvs.Service{service})
		err := s.table.Apply(context.Background(), add)
		if !s.holds(service) {
			if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, ipvs.ErrSchedulerNotFound) {
				s.Errorf("%v: not refused as unsupported: %v", add, err)
			}
			_ = s.table.Apply(context.Background(), ipvs.Plan{{Action: ipvs.DeleteService, Service: service}})
			continue
		}
		if err != nil {
			s.Errorf("%s: %v", lines, err)
			continue
		}
		if got := add.String(); got != lines {
			s.Errorf("printed as\n%swant\n%s", got, lines)
		}
		s.want(lines)
		s.apply(ipvs.Diff([]ipvs.Service{service}, nil))
	}
	s.want("")
}

// held are the examples that the table can hold, sorted.
func (s *suite) held() (all []ipvs.Service) {
	for _, op := range ipvs.Diff(nil, slices.Collect(func(yield func(ipvs.Service) bool) {
		for _, service := range examples() {
			if s.holds(service) && !yield(service) {
				return
			}
		}
	})) {
		if op.Action == ipvs.AddService {
			all = append(all, op.Service)
			continue
		}
		last := &all[len(all)-1]
		last.Destinations = append(last.Destinations, op.Destination)
	}
	return all
}

func oneServiceIsReadAlone(s *suite) {
	held := s.held()
	s.apply(ipvs.Diff(nil, held))
	s.wantServices(held)
	for _, want := range held {
		got, err := s.table.Service(context.Background(), want.ServiceKey)
		if err != nil {
			s.Fatal(err)
		}
		if plan := ipvs.Diff([]ipvs.Service{got.Wish()}, []ipvs.Service{want}); len(plan) > 0 {
			s.Errorf("%v read alone differs by\n%v", want.ServiceKey, plan)
		}
	}
	got, err := s.table.Service(context.Background(), key("10.99.0.99:1"))
	if !errors.Is(err, ipvs.ErrServiceNotFound) || !errors.Is(err, fs.ErrNotExist) || got.Destinations != nil {
		s.Errorf("a service that is not there: %+v %v", got, err)
	}
}

func editsAreInPlace(s *suite) {
	service, moved := key("10.99.0.1:80"), dest("10.99.1.1:80", ipvs.Masq, 9)
	moved.UpperThreshold = 7
	before := []ipvs.Service{{ServiceKey: service, Scheduler: "rr", Flags: ipvs.Sched1,
		Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1), dest("10.99.1.2:80", ipvs.Masq, 1)}}}
	after := []ipvs.Service{{ServiceKey: service, Scheduler: "wlc", Persistence: time.Minute, Flags: ipvs.Sched2,
		Destinations: []ipvs.Destination{moved, dest("10.99.1.3:80", ipvs.Masq, 1)}}}
	s.apply(ipvs.Diff(nil, before))
	s.apply(ipvs.Diff(before, after))
	s.want("-A -t 10.99.0.1:80 -s wlc -p 60 -b flag-2\n" +
		"-a -t 10.99.0.1:80 -r 10.99.1.1:80 -m -w 9 -x 7 -y 0\n-a -t 10.99.0.1:80 -r 10.99.1.3:80 -m -w 1\n")
	s.apply(ipvs.Diff(after, before))
	s.wantServices(before)
}

// anyStateAfterAnyOther walks through random states.
func anyStateAfterAnyOther(s *suite) {
	seed := uint64(time.Now().UnixNano())
	s.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	held := s.held()
	var have []ipvs.Service
	for range 40 {
		var want []ipvs.Service
		for _, service := range held {
			if r.IntN(3) > 0 {
				want = append(want, vary(r, service))
			}
		}
		plan := ipvs.Diff(have, want)
		if err := s.table.Apply(context.Background(), plan); err != nil {
			s.Fatalf("%vby\n%v", err, plan)
		}
		s.wantServices(want)
		have = want
	}
}

// vary changes what every table can change.
func vary(r *rand.Rand, service ipvs.Service) ipvs.Service {
	var some []ipvs.Destination
	for _, d := range service.Destinations {
		if r.IntN(3) > 0 {
			d.Weight = r.IntN(3)
			d.UpperThreshold, d.LowerThreshold = uint32(r.IntN(2)), 0
			some = append(some, d)
		}
	}
	service.Destinations = some
	if service.Scheduler == "rr" || service.Scheduler == "wlc" {
		service.Scheduler = []string{"rr", "wlc"}[r.IntN(2)]
	}
	return service
}

func deletingAService(s *suite) {
	one := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr", Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1)}}
	s.apply(ipvs.Diff(nil, []ipvs.Service{one}))
	s.apply(ipvs.Plan{{Action: ipvs.DeleteService, Service: one}})
	s.want("")
	one.Destinations = nil
	s.apply(ipvs.Diff(nil, []ipvs.Service{one}))
	s.want("-A -t 10.99.0.1:80 -s rr\n")
}

func errorsHaveKinds(s *suite) {
	have := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr", Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1)}}
	missing, odd := ipvs.Service{ServiceKey: key("10.99.0.9:80")}, ipvs.Service{ServiceKey: key("10.99.0.8:80"), Scheduler: "nosuch"}
	edited, other := have, dest("10.99.1.9:80", ipvs.Masq, 1)
	edited.Scheduler = "nosuch"
	s.apply(ipvs.Diff(nil, []ipvs.Service{have}))
	for _, c := range []struct {
		op      ipvs.Op
		kind    error
		general error
	}{
		{ipvs.Op{Action: ipvs.AddService, Service: have}, ipvs.ErrExists, fs.ErrExist},
		{ipvs.Op{Action: ipvs.AddService, Service: odd}, ipvs.ErrSchedulerNotFound, fs.ErrNotExist},
		{ipvs.Op{Action: ipvs.EditService, Service: edited}, ipvs.ErrSchedulerNotFound, fs.ErrNotExist},
		{ipvs.Op{Action: ipvs.EditService, Service: missing}, ipvs.ErrServiceNotFound, fs.ErrNotExist},
		{ipvs.Op{Action: ipvs.DeleteService, Service: missing}, ipvs.ErrServiceNotFound, fs.ErrNotExist},
		{ipvs.Op{Action: ipvs.AddDestination, Service: missing, Destination: other}, ipvs.ErrServiceNotFound, fs.ErrNotExist},
		{ipvs.Op{Action: ipvs.AddDestination, Service: have, Destination: have.Destinations[0]}, ipvs.ErrExists, fs.ErrExist},
		{ipvs.Op{Action: ipvs.EditDestination, Service: have, Destination: other}, ipvs.ErrDestinationNotFound, fs.ErrNotExist},
		{ipvs.Op{Action: ipvs.DeleteDestination, Service: have, Destination: other}, ipvs.ErrDestinationNotFound, fs.ErrNotExist},
	} {
		err := s.table.Apply(context.Background(), ipvs.Plan{c.op})
		if !errors.Is(err, c.kind) || !errors.Is(err, c.general) {
			s.Errorf("%v: %v, want %v", c.op, err, c.kind)
		}
		s.names(err, c.op)
	}
	s.want("-A -t 10.99.0.1:80 -s rr\n-a -t 10.99.0.1:80 -r 10.99.1.1:80 -m -w 1\n")
}

func (s *suite) names(err error, op ipvs.Op) {
	s.Helper()
	e, ok := errors.AsType[*ipvs.Error](err)
	if !ok || e.Op.Action != op.Action || e.Op.Service.ServiceKey != op.Service.ServiceKey || e.Op.Destination.Addr != op.Destination.Addr {
		s.Errorf("%v: the error does not name its operation: %#v", op, err)
	}
}

// wrongOperationsAreRefused: what Op.Validate finds wrong changes nothing, and what is beside it is done.
func wrongOperationsAreRefused(s *suite) {
	have := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr"}
	wrong := func(edit func(op *ipvs.Op)) ipvs.Op {
		op := ipvs.Op{Action: ipvs.AddDestination, Service: have, Destination: dest("10.99.1.1:80", ipvs.Masq, 1)}
		edit(&op)
		return op
	}
	plan := ipvs.Plan{
		{Action: ipvs.AddService, Service: have},
		wrong(func(op *ipvs.Op) { op.Destination.Weight = -1 }),
		wrong(func(op *ipvs.Op) { op.Destination.LowerThreshold = 1 }),
		wrong(func(op *ipvs.Op) { op.Destination.Addr = netip.MustParseAddrPort("[fd99::2]:80") }),
		wrong(func(op *ipvs.Op) { op.Destination.Forward = ipvs.Local }),
		wrong(func(op *ipvs.Op) { op.Destination.Forward, op.Destination.Tunnel.Type = ipvs.Tunnel, ipvs.GUE }),
		wrong(func(op *ipvs.Op) { op.Destination.Addr = netip.AddrPort{} }),
		wrong(func(op *ipvs.Op) { op.Action, op.Service.Persistence = ipvs.EditService, -time.Second }),
		wrong(func(op *ipvs.Op) { op.Action = 0 }),
		{Action: ipvs.AddDestination, Service: have, Destination: dest("10.99.1.2:80", ipvs.Masq, 1)},
	}
	err := s.table.Apply(context.Background(), plan)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != len(plan)-2 {
		s.Fatalf("%v, want %d errors", err, len(plan)-2)
	}
	for i, err := range joined.Unwrap() {
		s.names(err, plan[1+i])
	}
	s.want("-A -t 10.99.0.1:80 -s rr\n-a -t 10.99.0.1:80 -r 10.99.1.2:80 -m -w 1\n")
}

func theRestIsTried(s *suite) {
	one := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr", Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1)}}
	plan := append(ipvs.Plan{{Action: ipvs.DeleteService, Service: ipvs.Service{ServiceKey: key("10.99.0.9:80")}}}, ipvs.Diff(nil, []ipvs.Service{one})...)
	if err := s.table.Apply(context.Background(), plan); !errors.Is(err, ipvs.ErrServiceNotFound) {
		s.Errorf("the failed operation is not told: %v", err)
	}
	s.wantServices([]ipvs.Service{one})
}

// manyOperationsAtOnce: of a thousand operations each error finds its own, all others are done.
func manyOperationsAtOnce(s *suite) {
	service := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "wlc"}
	plan := ipvs.Plan{{Action: ipvs.AddService, Service: service}}
	for i := range 1000 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 99, byte(2 + i>>8), byte(i)}), 80)
		d := ipvs.Destination{Addr: addr, Weight: 1}
		op := ipvs.Op{Action: ipvs.AddDestination, Service: service, Destination: d}
		if i%7 == 3 {
			op.Action = ipvs.DeleteDestination
		} else {
			service.Destinations = append(service.Destinations, d)
		}
		plan = append(plan, op)
	}
	err := s.table.Apply(context.Background(), plan)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		s.Fatalf("no errors: %v", err)
	}
	errs := joined.Unwrap()
	for _, op := range plan {
		if op.Action != ipvs.DeleteDestination {
			continue
		}
		if len(errs) == 0 {
			s.Fatalf("no error for %v", op)
		}
		if !errors.Is(errs[0], ipvs.ErrDestinationNotFound) {
			s.Errorf("%v: %v", op, errs[0])
		}
		s.names(errs[0], op)
		errs = errs[1:]
	}
	if len(errs) > 0 {
		s.Errorf("%d errors too many, such as %v", len(errs), errs[0])
	}
	s.wantServices([]ipvs.Service{service})
}

func manyCallersAtOnce(s *suite) {
	var callers sync.WaitGroup
	var want []ipvs.Service
	for i := range 4 {
		service := ipvs.Service{ServiceKey: key(fmt.Sprintf("10.99.0.%d:80", 1+i)), Scheduler: "rr"}
		for j := range 50 {
			service.Destinations = append(service.Destinations, dest(fmt.Sprintf("10.99.1.%d:80", 1+j), ipvs.Masq, 1))
		}
		want = append(want, service)
		callers.Go(func() {
			all := []ipvs.Service{service}
			for range 5 {
				err := errors.Join(s.table.Apply(context.Background(), ipvs.Diff(nil, all)), s.table.Apply(context.Background(), ipvs.Diff(all, nil)))
				if err != nil {
					s.Error(err)
				}
				if _, err := s.table.Services(context.Background()); err != nil {
					s.Error(err)
				}
			}
			if err := s.table.Apply(context.Background(), ipvs.Diff(nil, all)); err != nil {
				s.Error(err)
			}
		})
	}
	callers.Wait()
	s.wantServices(want)
}

func endedContext(s *suite) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.table.Apply(ctx, ipvs.Diff(nil, s.held())); !errors.Is(err, context.Canceled) {
		s.Errorf("Apply with an ended context: %v", err)
	}
	if _, err := s.table.Services(ctx); !errors.Is(err, context.Canceled) {
		s.Errorf("Services with an ended context: %v", err)
	}
	if _, err := s.table.Service(ctx, key("10.99.0.1:80")); !errors.Is(err, context.Canceled) {
		s.Errorf("Service with an ended context: %v", err)
	}
	s.want("")
}

// The methods below are tested on tables that have them.

func zero(s *suite) {
	z, ok := s.table.(interface {
		Zero(context.Context, ...ipvs.ServiceKey) error
	})
	if !ok {
		return
	}
	one := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr"}
	s.apply(ipvs.Diff(nil, []ipvs.Service{one}))
	if err := z.Zero(context.Background()); err != nil {
		s.Error(err)
	}
	err := z.Zero(context.Background(), key("10.99.0.9:80"), one.ServiceKey)
	if !errors.Is(err, ipvs.ErrServiceNotFound) {
		s.Errorf("the counters of a service that is not there: %v", err)
	}
}

func flush(s *suite) {
	f, ok := s.table.(interface{ Flush(context.Context) error })
	if !ok {
		return
	}
	s.apply(ipvs.Diff(nil, s.held()))
	if err := f.Flush(context.Background()); err != nil {
		s.Error(err)
	}
	s.want("")
}

func timeouts(s *suite) {
	t, ok := s.table.(interface {
		Timeouts(context.Context) (ipvs.Timeouts, error)
		SetTimeouts(context.Context, ipvs.Timeouts) error
	})
	if !ok {
		return
	}
	before, err := t.Timeouts(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	want := ipvs.Timeouts{TCP: before.TCP + time.Minute, TCPFin: before.TCPFin, UDP: before.UDP + time.Second}
	if err := t.SetTimeouts(context.Background(), ipvs.Timeouts{TCP: want.TCP, UDP: want.UDP}); err != nil {
		s.Fatal(err)
	}
	if got, err := t.Timeouts(context.Background()); got != want || err != nil {
		s.Errorf("%+v %v, want %+v", got, err, want)
	}
	if err := t.SetTimeouts(context.Background(), ipvs.Timeouts{TCP: time.Millisecond}); err == nil {
		s.Error("a millisecond was taken for a timeout")
	}
	if err := t.SetTimeouts(context.Background(), before); err != nil {
		s.Error(err)
	}
}
