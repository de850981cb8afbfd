package ipvstest

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// Suite holds a table to the kernel's semantics. open gives an empty table for each test; it is closed at the test's end.
func Suite(t *testing.T, open func(t *testing.T) ipvs.Table) {
	for _, c := range []struct {
		name string
		test func(s *suite)
	}{
		{"EmptyTableIsAnEmptyList", func(s *suite) { s.want("") }},
		{"EverythingIsReadBack", everythingIsReadBack},
		{"EditsAreInPlace", editsAreInPlace},
		{"DeletingAServiceDeletesItsDestinations", deletingAService},
		{"ErrorsHaveKinds", errorsHaveKinds},
		{"TheRestIsTried", theRestIsTried},
		{"EndedContext", endedContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := open(t)
			t.Cleanup(func() { table.Close() })
			c.test(&suite{T: t, table: table})
		})
	}
}

type suite struct {
	*testing.T
	table ipvs.Table
}

func (s *suite) apply(plan ipvs.Plan) {
	s.Helper()
	if err := s.table.Apply(context.Background(), plan); err != nil {
		s.Fatal(err)
	}
}

// want compares the table with ipvsadm lines.
func (s *suite) want(lines string) {
	s.Helper()
	status, err := s.table.Services(context.Background())
	if err != nil {
		s.Fatal(err)
	}
	var all []ipvs.Service
	for i := range status {
		all = append(all, status[i].Wish())
	}
	if got := ipvs.Diff(nil, all).String(); got != lines {
		s.Fatalf("the table holds\n%swant\n%s", got, lines)
	}
}

func key(addr string) ipvs.ServiceKey {
	return ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort(addr)}
}

func dest(addr string, forward ipvs.Forward, weight int) ipvs.Destination {
	return ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Forward: forward, Weight: weight}
}

func example() []ipvs.Service {
	thresholds := dest("10.99.1.1:80", ipvs.Direct, 5)
	thresholds.UpperThreshold, thresholds.LowerThreshold = 100, 50
	udp := key("10.99.0.2:53")
	udp.Protocol = ipvs.UDP
	return []ipvs.Service{
		{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr", Destinations: []ipvs.Destination{thresholds, dest("10.99.1.2:80", ipvs.Tunnel, 65535)}},
		{ServiceKey: key("10.99.0.1:443"), Scheduler: "sh", Flags: ipvs.Sched1 | ipvs.Sched2, Persistence: 300 * time.Second, Granularity: 24,
			Destinations: []ipvs.Destination{dest("10.99.1.1:8443", ipvs.Masq, 0)}},
		{ServiceKey: udp, Flags: ipvs.OnePacket},
		{ServiceKey: ipvs.ServiceKey{FWMark: 7}, Scheduler: "wrr", Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1)}},
		{ServiceKey: ipvs.ServiceKey{FWMark: 7, IPv6: true}, Scheduler: "lc"},
		{ServiceKey: key("[fd99::1]:80"), Persistence: time.Minute, Granularity: 64, Destinations: []ipvs.Destination{dest("[fd99::2]:80", ipvs.Masq, 1)}},
	}
}

const exampleLines = `-A -t 10.99.0.1:80 -s rr
-a -t 10.99.0.1:80 -r 10.99.1.1:80 -g -w 5 -x 100 -y 50
-a -t 10.99.0.1:80 -r 10.99.1.2:80 -i -w 65535 --tun-type ipip
-A -t 10.99.0.1:443 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 10.99.0.1:443 -r 10.99.1.1:8443 -m -w 0
-A -t [fd99::1]:80 -s wlc -p 60 -M 64
-a -t [fd99::1]:80 -r [fd99::2]:80 -m -w 1
-A -u 10.99.0.2:53 -s wlc -o
-A -f 7 -s wrr
-a -f 7 -r 10.99.1.1:80 -m -w 1
-A -f 7 -6 -s lc
`

func everythingIsReadBack(s *suite) {
	s.apply(ipvs.Diff(nil, example()))
	s.want(exampleLines)
	s.apply(ipvs.Diff(example(), nil))
	s.want("")
}

func editsAreInPlace(s *suite) {
	before := []ipvs.Service{{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr",
		Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1), dest("10.99.1.2:80", ipvs.Masq, 1)}}}
	after := []ipvs.Service{{ServiceKey: key("10.99.0.1:80"), Scheduler: "wlc", Persistence: time.Minute,
		Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 9), dest("10.99.1.3:80", ipvs.Masq, 1)}}}
	s.apply(ipvs.Diff(nil, before))
	s.apply(ipvs.Diff(before, after))
	s.want("-A -t 10.99.0.1:80 -s wlc -p 60\n" +
		"-a -t 10.99.0.1:80 -r 10.99.1.1:80 -m -w 9\n-a -t 10.99.0.1:80 -r 10.99.1.3:80 -m -w 1\n")
}

func deletingAService(s *suite) {
	s.apply(ipvs.Diff(nil, example()[:1]))
	s.apply(ipvs.Plan{{Action: ipvs.DeleteService, Service: example()[0]}})
	s.want("")
	again := example()[0]
	again.Destinations = nil
	s.apply(ipvs.Diff(nil, []ipvs.Service{again}))
	s.want("-A -t 10.99.0.1:80 -s rr\n")
}

func errorsHaveKinds(s *suite) {
	have := ipvs.Service{ServiceKey: key("10.99.0.1:80"), Scheduler: "rr", Destinations: []ipvs.Destination{dest("10.99.1.1:80", ipvs.Masq, 1)}}
	missing, odd := ipvs.Service{ServiceKey: key("10.99.0.9:80")}, ipvs.Service{ServiceKey: key("10.99.0.8:80"), Scheduler: "nosuch"}
	other := dest("10.99.1.9:80", ipvs.Masq, 1)
	s.apply(ipvs.Diff(nil, []ipvs.Service{have}))
	for _, c := range []struct {
		op      ipvs.Op
		kind    error
		general error
	}{
		{ipvs.Op{Action: ipvs.AddService, Service: have}, ipvs.ErrExists, fs.ErrExist},
		{ipvs.Op{Action: ipvs.AddService, Service: odd}, ipvs.ErrSchedulerNotFound, fs.ErrNotExist},
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
		if e, ok := errors.AsType[*ipvs.Error](err); !ok || e.Op.Action != c.op.Action || e.Op.Service.ServiceKey != c.op.Service.ServiceKey {
			s.Errorf("%v: the error does not name its operation: %#v", c.op, err)
		}
	}
	s.want("-A -t 10.99.0.1:80 -s rr\n-a -t 10.99.0.1:80 -r 10.99.1.1:80 -m -w 1\n")
}

func theRestIsTried(s *suite) {
	plan := ipvs.Diff(nil, example()[:1])
	plan = append(ipvs.Plan{{Action: ipvs.DeleteService, Service: ipvs.Service{ServiceKey: key("10.99.0.9:80")}}}, plan...)
	if err := s.table.Apply(context.Background(), plan); !errors.Is(err, ipvs.ErrServiceNotFound) {
		s.Errorf("the failed operation is not told: %v", err)
	}
	s.want("-A -t 10.99.0.1:80 -s rr\n-a -t 10.99.0.1:80 -r 10.99.1.1:80 -g -w 5 -x 100 -y 50\n-a -t 10.99.0.1:80 -r 10.99.1.2:80 -i -w 65535 --tun-type ipip\n")
}

func endedContext(s *suite) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.table.Apply(ctx, ipvs.Diff(nil, example())); !errors.Is(err, context.Canceled) {
		s.Errorf("Apply with an ended context: %v", err)
	}
	s.want("")
}
