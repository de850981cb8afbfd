package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// service is one entry with its destinations, and what listens for it.
type service struct {
	relay *Relay
	key   ipvs.ServiceKey
	ctx   context.Context // ends when the service does
	stop  context.CancelFunc

	mu           sync.Mutex // guards the fields below and those of destinations
	entry        ipvs.Service
	destinations []*destination
	scheduler    scheduler
	templates    map[netip.Prefix]*template
	sweepAt      int // number of templates at which expired ones are looked for
	listener     io.Closer
	udpSessions  map[sessionKey]*session
	count        counters
}

// destination is one server and the connections to it.
type destination struct {
	ipvs.Destination
	addr       netip.AddrPort // the same, which never changes: to be read without the lock
	open       map[io.Closer]struct{}
	active     int
	overloaded bool
	gone       bool
	current    int // of the weighted round robin
	count      counters
}

// counters are counted without the service's lock.
type counters struct{ connections, packetsIn, packetsOut, bytesIn, bytesOut atomic.Uint64 }

func (c *counters) stats() ipvs.Stats {
	return ipvs.Stats{
		Connections: c.connections.Load(), PacketsIn: c.packetsIn.Load(), PacketsOut: c.packetsOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
	}
}

// template binds the clients of a prefix to a destination.
type template struct {
	destination *destination
	connections int
	expires     time.Time // once there are no connections
}

// set takes an entry. s.mu is held, or nobody else knows s yet.
func (s *service) set(wish ipvs.Service) {
	if s.scheduler == nil || wish.Scheduler != s.entry.Scheduler || wish.Flags != s.entry.Flags {
		s.scheduler = newScheduler(&wish)
	}
	if s.templates == nil || wish.Granularity != s.entry.Granularity {
		s.templates, s.sweepAt = make(map[netip.Prefix]*template), 1024
	}
	s.entry = wish
}

func (s *service) edit(wish ipvs.Service) (kind, err error) {
	wish.Destinations = nil
	if kind, err := check(&wish); kind != nil || err != nil {
		return kind, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(wish)
	return nil, nil
}

// change adds, edits or deletes a destination.
func (s *service) change(action ipvs.Action, wish ipvs.Destination) (kind, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.destinations, func(d *destination) bool { return d.Addr == wish.Addr })
	switch {
	case action == ipvs.AddDestination && i >= 0:
		return ipvs.ErrExists, nil
	case action != ipvs.AddDestination && i < 0:
		return ipvs.ErrDestinationNotFound, nil
	}
	if action == ipvs.DeleteDestination {
		s.destinations[i].end()
		s.destinations = slices.Delete(s.destinations, i, i+1)
		s.scheduler.changed(s.destinations)
		return nil, nil
	}
	one := s.entry
	one.Destinations = []ipvs.Destination{wish}
	if err := one.Validate(); err != nil {
		return nil, err
	}
	if i < 0 {
		s.destinations = append(s.destinations, &destination{Destination: wish, addr: wish.Addr, open: make(map[io.Closer]struct{})})
	} else {
		s.destinations[i].Destination = wish
		s.destinations[i].load()
	}
	s.scheduler.changed(s.destinations)
	return nil, nil
}

// close ends the service and all that goes through it.
func (s *service) close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
	}
	for _, d := range s.destinations {
		d.end()
	}
	s.destinations = nil
}

// end closes the connections of a destination that is no more.
func (d *destination) end() {
	d.gone = true
	for c := range d.open {
		c.Close()
	}
}

// load decides whether the thresholds are passed, as the kernel does.
func (d *destination) load() {
	upper, lower := int(d.UpperThreshold), int(d.LowerThreshold)
	switch {
	case upper == 0:
		d.overloaded = false
	case d.active >= upper:
		d.overloaded = true
	case lower > 0 && d.active < lower, lower == 0 && d.active*4 < upper*3:
		d.overloaded = false
	}
}

func (d *destination) usable() bool { return d.Weight > 0 && !d.overloaded && !d.gone }

// take chooses a destination for a client's new connection and counts it there; nil is none.
func (s *service) take(client netip.AddrPort) *destination {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.choose(client)
	if d == nil {
		return nil
	}
	d.active++
	d.load()
	d.count.connections.Add(1)
	s.count.connections.Add(1)
	return d
}

func (s *service) choose(client netip.AddrPort) *destination {
	if s.entry.Persistence == 0 {
		return s.scheduler.pick(s.destinations, client)
	}
	prefix := s.prefix(client)
	t := s.templates[prefix]
	if t == nil || !t.destination.usable() || t.connections == 0 && time.Now().After(t.expires) {
		d := s.scheduler.pick(s.destinations, client)
		if d == nil {
			return nil
		}
		s.sweep()
		t = &template{destination: d}
		s.templates[prefix] = t
	}
	t.connections++
	return t.destination
}

// prefix is what persistence looks at.
func (s *service) prefix(client netip.AddrPort) netip.Prefix {
	bits := client.Addr().BitLen()
	if s.entry.Granularity > 0 {
		bits = min(s.entry.Granularity, bits)
	}
	p, _ := client.Addr().Prefix(bits)
	return p
}

// sweep forgets templates that have expired, when there are many.
func (s *service) sweep() {
	if len(s.templates) < s.sweepAt {
		return
	}
	now := time.Now()
	for p, t := range s.templates {
		if t.connections == 0 && now.After(t.expires) {
			delete(s.templates, p)
		}
	}
	s.sweepAt = 2*len(s.templates) + 1024
}

// leave is the end of a connection that was taken.
func (s *service) leave(d *destination, client netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.active--
	d.load()
	if s.entry.Persistence == 0 {
		return
	}
	if t := s.templates[s.prefix(client)]; t != nil && t.destination == d {
		t.connections = max(t.connections-1, 0)
		t.expires = time.Now().Add(s.entry.Persistence)
	}
}

// hold makes a connection end with its destination. It says whether the destination is still there.
func (s *service) hold(d *destination, c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.gone {
		return false
	}
	d.open[c] = struct{}{}
	return true
}

func (s *service) release(d *destination, c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(d.open, c)
}

func (s *service) status() ipvs.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := ipvs.ServiceStatus{Service: s.entry, Stats: s.count.stats()}
	bound := make(map[*destination]int)
	for _, t := range s.templates {
		bound[t.destination]++
	}
	for _, d := range s.destinations {
		status.Destinations = append(status.Destinations, ipvs.DestinationStatus{
			Destination: d.Destination, ActiveConnections: d.active, PersistentConnections: bound[d], Stats: d.count.stats(),
		})
	}
	return status
}

// retryInterval is the time between attempts to listen at an address that is not on the host.
const retryInterval = time.Second

// listen begins to serve. Where the address is not on this host, and the system does not let us listen all the same, it is tried
// again until it is.
func (s *service) listen() error {
	serve, err := s.bind()
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		s.relay.o.Logger.Info("the address is not here; listening once it is", "service", s.key.String())
		s.relay.work.Go(s.retry)
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen at %v: %w", s.key.Addr, err)
	}
	s.relay.work.Go(serve)
	return nil
}

func (s *service) retry() {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		serve, err := s.bind()
		if err == nil {
			s.relay.o.Logger.Info("listening", "service", s.key.String())
			serve()
			return
		}
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			s.relay.o.Logger.Warn("cannot listen; trying again", "service", s.key.String(), "error", err)
		}
	}
}

// bind opens the socket, and returns what serves it until the service ends.
func (s *service) bind() (serve func(), err error) {
	lc := net.ListenConfig{Control: bindAnywhere}
	network := map[ipvs.Protocol]string{ipvs.TCP: "tcp", ipvs.UDP: "udp"}[s.key.Protocol]
	network += map[bool]string{false: "4", true: "6"}[s.key.Addr.Addr().Is6()]
	if s.key.Protocol == ipvs.UDP {
		c, err := lc.ListenPacket(s.ctx, network, s.key.Addr.String())
		if err != nil {
			return nil, err
		}
		conn := c.(*net.UDPConn)
		return func() { s.serveUDP(conn) }, s.keep(conn)
	}
	l, err := lc.Listen(s.ctx, network, s.key.Addr.String())
	if err != nil {
		return nil, err
	}
	listener := l.(*net.TCPListener)
	return func() { s.serveTCP(listener) }, s.keep(listener)
}

// keep remembers what to close at the end, which may have come already.
func (s *service) keep(c io.Closer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = c
	if err := s.ctx.Err(); err != nil {
		c.Close()
		return err
	}
	return nil
}

// backoff is the pause after so many failures in a row.
func backoff(failures int) time.Duration {
	return min(time.Millisecond<<min(failures, 10), time.Second)
}
