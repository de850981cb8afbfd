package holdfast

import (
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// Status is a snapshot of a Controller. It is made for encoding/json.
type Status struct {
	Time      time.Time             `json:"time"`
	Instances []vrrp.InstanceStatus `json:"instances"`
	Services  []ServiceStatus       `json:"services"`
	// Trackers are the checks behind the Spec's trackers; the ID is the tracker's name.
	Trackers []CheckStatus `json:"trackers"`
	// Sessions are the BFD sessions.
	Sessions []bfd.Status `json:"sessions,omitempty"`
	// TimerLateness is how late the timers of the instances fired: what this host's scheduling costs the protocol.
	TimerLateness Histogram `json:"timerLateness"`
	// CheckLatency is how long the checks took.
	CheckLatency Histogram `json:"checkLatency"`
	// Reload is the last [EventReload] about one that began or ended, Scheduled the one about what is to come; nil for none.
	Reload    *Event `json:"reload,omitempty"`
	Scheduled *Event `json:"scheduled,omitempty"`
}

// ServiceStatus is a snapshot of a service.
type ServiceStatus struct {
	// Service is its key, such as "TCP 192.0.2.10:80".
	Service string `json:"service"`
	// Up says whether it has quorum.
	Up bool `json:"up"`
	// LiveWeight is the weight of the servers that are well.
	LiveWeight int `json:"liveWeight"`
	// Scheduler is that of its entry in the table.
	Scheduler string         `json:"scheduler"`
	Servers   []ServerStatus `json:"servers"`
	// Stats are those of its entry, or of its entries together, when the table was last looked at; zero without a table.
	Stats ipvs.Stats `json:"stats"`
}

// ServerStatus is a snapshot of a real server.
type ServerStatus struct {
	Server string `json:"server"`
	// Up says whether all checks are of the opinion that it is well.
	Up bool `json:"up"`
	// Weight is the one that the server has while it is up: the configured one, or what an operator says.
	Weight int `json:"weight"`
	// Maintenance says that it is kept out of the table.
	Maintenance bool          `json:"maintenance,omitempty"`
	Checks      []CheckStatus `json:"checks"`
	// Entry is its destination when the table was last looked at, or in a group all that it is; nil when it had none or there is
	// no table.
	Entry *EntryStatus `json:"entry,omitempty"`
}

// EntryStatus is a snapshot of a destination in the table.
type EntryStatus struct {
	// Forward is how packets get there, and Weight what the table has.
	Forward string `json:"forward"`
	Weight  int    `json:"weight"`
	// ActiveConnections are established, InactiveConnections in any other state.
	ActiveConnections   int        `json:"activeConnections"`
	InactiveConnections int        `json:"inactiveConnections"`
	Stats               ipvs.Stats `json:"stats"`
}

// CheckStatus is a snapshot of one check of a server.
type CheckStatus struct {
	// ID is the probe's, within its server.
	ID string `json:"id"`
	Up bool   `json:"up"`
	// Since is when the verdict was reached.
	Since time.Time `json:"since"`
	// Checked is when the last check ended, zero before the first; Latency is how long it took.
	Checked time.Time     `json:"checked"`
	Latency time.Duration `json:"latency"`
	// Checks counts those that have ended, Failures those of them that failed.
	Checks   uint64 `json:"checks"`
	Failures uint64 `json:"failures"`
	// Error is why the last check failed, empty when it did not.
	Error string `json:"error,omitempty"`
}

// Status is a snapshot of everything that the Controller holds, in the order of the Spec.
func (c *Controller) Status() Status {
	probes := c.monitor.Status()
	s := Status{
		Time: time.Now(), Instances: c.router.Status(), Services: []ServiceStatus{}, Trackers: []CheckStatus{}, Sessions: c.speaker.Status(),
		TimerLateness: c.lateness.snapshot(), CheckLatency: c.latency.snapshot(),
	}
	entries := c.entries()
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Reload, s.Scheduled = copied(c.reload.last), copied(c.reload.scheduled)
	for _, service := range c.state.services {
		s.Services = append(s.Services, service.status(probes, entries))
	}
	for _, t := range c.state.trackers {
		one := checkStatus(t.probe, probes[t.probe.id])
		one.ID = t.name
		s.Trackers = append(s.Trackers, one)
	}
	return s
}

// entries are what the table had when it was last looked at.
func (c *Controller) entries() map[ipvs.ServiceKey]*ipvs.ServiceStatus {
	entries := make(map[ipvs.ServiceKey]*ipvs.ServiceStatus)
	if c.table != nil {
		seen := c.table.Status()
		for i := range seen {
			entries[seen[i].ServiceKey] = &seen[i]
		}
	}
	return entries
}

func (s *serviceState) status(probes map[string]check.ProbeStatus, entries map[ipvs.ServiceKey]*ipvs.ServiceStatus) ServiceStatus {
	status := ServiceStatus{Service: s.name, Up: s.quorum, LiveWeight: s.liveWeight(), Scheduler: s.want[0].Scheduler, Servers: []ServerStatus{}}
	for _, want := range s.want {
		if entry := entries[want.ServiceKey]; entry != nil {
			status.Stats.Add(entry.Stats)
		}
	}
	for i, server := range s.servers {
		spec := s.pool.Servers[i]
		one := ServerStatus{Server: spec.Addr.String(), Up: server.up(), Weight: spec.Weight, Maintenance: server.out, Checks: []CheckStatus{}}
		one.Entry = s.entry(spec.Destination, entries)
		for _, p := range server.probes {
			c := checkStatus(p, probes[p.id])
			c.ID = strings.TrimPrefix(c.ID, server.name+" ")
			one.Checks = append(one.Checks, c)
		}
		status.Servers = append(status.Servers, one)
	}
	return status
}

// entry is a server's destination, or what its destinations in all entries of the service have together.
func (s *serviceState) entry(server ipvs.Destination, entries map[ipvs.ServiceKey]*ipvs.ServiceStatus) (sum *EntryStatus) {
	for _, want := range s.want {
		entry := entries[want.ServiceKey]
		if entry == nil {
			continue
		}
		addr := server.Behind(want.ServiceKey).Addr
		for i := range entry.Destinations {
			if d := &entry.Destinations[i]; d.Addr == addr {
				if sum == nil {
					sum = &EntryStatus{Forward: d.Forward.String(), Weight: d.Weight}
				}
				sum.ActiveConnections += d.ActiveConnections
				sum.InactiveConnections += d.InactiveConnections
				sum.Stats.Add(d.Stats)
			}
		}
	}
	return sum
}

func checkStatus(p *probeState, m check.ProbeStatus) CheckStatus {
	c := CheckStatus{ID: p.id, Up: p.up, Since: m.Since, Checked: m.Last.At, Latency: m.Last.Latency, Checks: m.Checks, Failures: m.Failures}
	if m.Last.Err != nil {
		c.Error = m.Last.Err.Error()
	}
	return c
}

func copied(e *Event) *Event {
	if e == nil {
		return nil
	}
	return new(*e)
}
