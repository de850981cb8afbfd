package observe

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// family is one metric with all its series.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

func newFamily(kind prometheus.ValueType, name, help string, labels ...string) family {
	return family{prometheus.NewDesc("holdfast_"+name, help, labels, nil), kind}
}

// Every family, with its labels.
var (
	buildInfo = newFamily(gauge, "build_info", "Version of the program and of Go; always 1.", "version", "goversion")
	startTime = newFamily(gauge, "start_time_seconds", "When the observer was made, in seconds since 1970.")

	instanceInfo      = newFamily(gauge, "vrrp_instance_info", "Where an instance lives; always 1.", "vrrp_instance", "interface", "vrid", "version", "source")
	instanceState     = newFamily(gauge, "vrrp_instance_state", "1 for the state that the instance is in, 0 for the others.", "vrrp_instance", "state")
	instanceSince     = newFamily(gauge, "vrrp_instance_state_entered_timestamp_seconds", "When the present state was entered, in seconds since 1970.", "vrrp_instance")
	instancePriority  = newFamily(gauge, "vrrp_instance_priority", "Effective priority.", "vrrp_instance")
	instanceChanges   = newFamily(counter, "vrrp_instance_transitions_total", "Changes of state, by the state entered.", "vrrp_instance", "state")
	advertsSent       = newFamily(counter, "vrrp_adverts_sent_total", "Adverts sent.", "vrrp_instance")
	advertsReceived   = newFamily(counter, "vrrp_adverts_received_total", "Adverts received, good or bad.", "vrrp_instance")
	advertErrors      = newFamily(counter, "vrrp_advert_errors_total", "Adverts received that are not as they should be, by what is wrong. Most of them are not accepted.", "vrrp_instance", "reason")
	conflicts         = newFamily(counter, "vrrp_conflicts_total", "Signs of split brain, or of what leads there, by kind.", "vrrp_instance", "kind")
	priorityZeroSent  = newFamily(counter, "vrrp_priority_zero_sent_total", "Adverts sent to leave office.", "vrrp_instance")
	priorityZeroHeard = newFamily(counter, "vrrp_priority_zero_received_total", "Adverts received from a MASTER that left office.", "vrrp_instance")
	advertsSendErrors = newFamily(counter, "vrrp_advert_send_errors_total", "Adverts that could not be sent.", "vrrp_instance")
	timerLateness     = newFamily(0, "vrrp_timer_lateness_seconds", "How late timers of instances fired: what this host's scheduling costs the protocol.")
	takeover          = newFamily(0, "vrrp_takeover_seconds", "Time from the last advert of the former MASTER to becoming MASTER.")
	serviceInfo       = newFamily(gauge, "service_info", "How a service is scheduled; always 1.", "service", "scheduler")
	serviceUp         = newFamily(gauge, "service_up", "1 when the service has quorum.", "service")
	serviceLiveWeight = newFamily(gauge, "service_live_weight", "Sum of the weights of the servers that are well.", "service")
	serviceChanges    = newFamily(counter, "service_transitions_total", "Changes between UP and DOWN, by the state entered.", "service", "state")
	serviceTraffic    = newTraffic("service", "service")
	serverUp          = newFamily(gauge, "destination_up", "1 when all checks find the server well.", "service", "destination")
	serverWeight      = newFamily(gauge, "destination_weight", "Configured weight.", "service", "destination")
	serverChanges     = newFamily(counter, "destination_transitions_total", "Changes between UP and DOWN, by the state entered.", "service", "destination", "state")
	entryWeight       = newFamily(gauge, "destination_table_weight", "Weight in the table; absent while the table has no such entry.", "service", "destination")
	entryActive       = newFamily(gauge, "destination_active_connections", "Established connections.", "service", "destination")
	entryInactive     = newFamily(gauge, "destination_inactive_connections", "Connections in any other state.", "service", "destination")
	entryTraffic      = newTraffic("destination", "service", "destination")
	checkUp           = newFamily(gauge, "check_up", "1 when the verdict of the check is UP.", "service", "destination", "check")
	checkCount        = newFamily(counter, "checks_total", "Checks that have ended.", "service", "destination", "check")
	checkFailures     = newFamily(counter, "check_failures_total", "Checks that failed.", "service", "destination", "check")
	checkLast         = newFamily(gauge, "check_last_duration_seconds", "How long the last check took.", "service", "destination", "check")
	checkDuration     = newFamily(0, "check_duration_seconds", "How long checks of all kinds took.")
	detection         = newFamily(0, "check_detection_seconds", "Time from the last good check to the verdict DOWN.")
	trackerUp         = newFamily(gauge, "tracker_up", "1 when the verdict of the tracker is UP.", "tracker")
	trackerChanges    = newFamily(counter, "tracker_transitions_total", "Changes between UP and DOWN, by the state entered.", "tracker", "state")
	trackerCount      = newFamily(counter, "tracker_checks_total", "Checks of the tracker that have ended.", "tracker")
	trackerFailures   = newFamily(counter, "tracker_check_failures_total", "Checks of the tracker that failed.", "tracker")
	sessionUp         = newFamily(gauge, "bfd_session_up", "1 when the path to the neighbour is alive.", "session")
	sessionDetection  = newFamily(gauge, "bfd_session_detection_time_seconds", "After how much silence the neighbour counts as gone.", "session")
	repairs           = newFamily(counter, "table_repairs_total", "Times that the table had drifted from the wish and was put right.", "service")
	reloads           = newFamily(counter, "config_reloads_total", "Attempts to read the configuration again, by result.", "result")
	reloadOK          = newFamily(gauge, "config_last_reload_successful", "1 when the last attempt to read the configuration again succeeded, or there was none.")
	reloadedAt        = newFamily(gauge, "config_last_reload_success_timestamp_seconds", "When the configuration was last read again with success, in seconds since 1970; 0 before.")
	eventCount        = newFamily(counter, "events_total", "Events, by kind.", "kind")
	eventsMissed      = newFamily(counter, "events_missed_total", "Events that the observer itself was too slow for.")
	eventStreams      = newFamily(gauge, "event_streams", "Readers of /events.")
	everyFamily       = []family{
		buildInfo, startTime, instanceInfo, instanceState, instanceSince, instancePriority, instanceChanges, advertsSent, advertsReceived,
		advertErrors, conflicts, priorityZeroSent, priorityZeroHeard, advertsSendErrors, timerLateness, takeover, serviceInfo, serviceUp,
		serviceLiveWeight, serviceChanges, serviceTraffic.connections, serviceTraffic.packetsIn, serviceTraffic.packetsOut, serviceTraffic.bytesIn,
		serviceTraffic.bytesOut, serverUp, serverWeight, serverChanges, entryWeight, entryActive, entryInactive, entryTraffic.connections,
		entryTraffic.packetsIn, entryTraffic.packetsOut, entryTraffic.bytesIn, entryTraffic.bytesOut, checkUp, checkCount, checkFailures,
		checkLast, checkDuration, detection, trackerUp, trackerChanges, trackerCount, trackerFailures, sessionUp, sessionDetection, repairs, reloads, reloadOK, reloadedAt,
		eventCount, eventsMissed, eventStreams,
	}
)

// traffic is the counters that services and destinations have.
type traffic struct{ connections, packetsIn, packetsOut, bytesIn, bytesOut family }

func newTraffic(of string, labels ...string) traffic {
	return traffic{
		connections: newFamily(counter, of+"_connections_total", "Connections scheduled.", labels...),
		packetsIn:   newFamily(counter, of+"_received_packets_total", "Packets from clients.", labels...),
		packetsOut:  newFamily(counter, of+"_sent_packets_total", "Packets to clients, as far as they pass this host.", labels...),
		bytesIn:     newFamily(counter, of+"_received_bytes_total", "Bytes from clients.", labels...),
		bytesOut:    newFamily(counter, of+"_sent_bytes_total", "Bytes to clients, as far as they pass this host.", labels...),
	}
}

// Describe implements prometheus.Collector.
func (o *Observer) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range everyFamily {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (o *Observer) Collect(ch chan<- prometheus.Metric) {
	c := collection{ch}
	status := o.controller.Status()
	c.add(buildInfo, 1, o.options.Version, runtime.Version())
	c.add(startTime, seconds(o.started))
	c.add(eventStreams, float64(o.streams.Load()))
	c.histogram(timerLateness, status.TimerLateness)
	c.histogram(checkDuration, status.CheckLatency)
	for i := range status.Instances {
		c.instance(&status.Instances[i])
	}
	for i := range status.Services {
		c.service(&status.Services[i])
	}
	for _, t := range status.Trackers {
		c.add(trackerUp, truth(t.Up), t.ID)
		c.add(trackerCount, float64(t.Checks), t.ID)
		c.add(trackerFailures, float64(t.Failures), t.ID)
	}
	for i := range status.Sessions {
		session := &status.Sessions[i]
		c.add(sessionUp, truth(session.Alive), session.Session.Name)
		c.add(sessionDetection, session.Detection.Seconds(), session.Session.Name)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c.counts(&o.counts, status)
}

// collection is one scrape.
type collection struct{ ch chan<- prometheus.Metric }

// add gives one series. Label values come from people and may be anything.
func (c collection) add(f family, value float64, labels ...string) {
	for i, l := range labels {
		labels[i] = printable(l)
	}
	c.ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

// printable keeps distinct names distinct where they are not UTF-8.
func printable(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}

func (c collection) instance(in *vrrp.InstanceStatus) {
	name, s := in.Instance.String(), &in.Stats
	version := in.Instance.Version
	if version == 0 {
		version = 3
	}
	source := ""
	if in.Source.IsValid() {
		source = in.Source.String()
	}
	c.add(instanceInfo, 1, name, in.Instance.Interface, fmt.Sprint(in.Instance.VRID), fmt.Sprint(version), source)
	for _, state := range []vrrp.State{vrrp.Init, vrrp.Backup, vrrp.Master, vrrp.Fault} {
		c.add(instanceState, truth(in.State == state), name, state.String())
	}
	c.add(instanceSince, seconds(in.Since), name)
	c.add(instancePriority, float64(in.Priority), name)
	c.add(advertsSent, float64(s.AdvertsSent), name)
	c.add(advertsReceived, float64(s.AdvertsReceived), name)
	c.add(priorityZeroSent, float64(s.PriorityZeroSent), name)
	c.add(priorityZeroHeard, float64(s.PriorityZeroReceived), name)
	c.add(advertsSendErrors, float64(s.SendErrors), name)
	for kind, count := range in.Conflicts {
		c.add(conflicts, float64(count), name, kind)
	}
	for _, r := range []struct {
		reason string
		count  uint64
	}{
		{"checksum", s.ChecksumErrors}, {"version", s.VersionErrors}, {"vrid", s.VRIDErrors}, {"interval", s.IntervalErrors}, {"ttl", s.TTLErrors},
		{"type", s.TypeErrors}, {"length", s.LengthErrors}, {"address_list", s.AddressListErrors}, {"peer", s.PeerErrors},
		{"auth_type", s.AuthTypeErrors}, {"auth_mismatch", s.AuthMismatches}, {"auth_failure", s.AuthFailures},
		{"hmac_missing", s.HMACMissing}, {"hmac_malformed", s.HMACMalformed}, {"hmac_stale", s.HMACStale},
		{"hmac_unknown_key", s.HMACUnknownKey}, {"hmac_invalid", s.HMACInvalid}, {"hmac_replay", s.HMACReplay},
	} {
		c.add(advertErrors, float64(r.count), name, r.reason)
	}
}

func (c collection) service(s *holdfast.ServiceStatus) {
	c.add(serviceInfo, 1, s.Service, s.Scheduler)
	c.add(serviceUp, truth(s.Up), s.Service)
	c.add(serviceLiveWeight, float64(s.LiveWeight), s.Service)
	c.traffic(serviceTraffic, s.Stats, s.Service)
	for i := range s.Servers {
		server := &s.Servers[i]
		c.add(serverUp, truth(server.Up), s.Service, server.Server)
		c.add(serverWeight, float64(server.Weight), s.Service, server.Server)
		if e := server.Entry; e != nil {
			c.add(entryWeight, float64(e.Weight), s.Service, server.Server)
			c.add(entryActive, float64(e.ActiveConnections), s.Service, server.Server)
			c.add(entryInactive, float64(e.InactiveConnections), s.Service, server.Server)
			c.traffic(entryTraffic, e.Stats, s.Service, server.Server)
		}
		for _, check := range server.Checks {
			c.add(checkUp, truth(check.Up), s.Service, server.Server, check.ID)
			c.add(checkCount, float64(check.Checks), s.Service, server.Server, check.ID)
			c.add(checkFailures, float64(check.Failures), s.Service, server.Server, check.ID)
			c.add(checkLast, check.Latency.Seconds(), s.Service, server.Server, check.ID)
		}
	}
}

func (c collection) traffic(t traffic, s ipvs.Stats, labels ...string) {
	c.add(t.connections, float64(s.Connections), labels...)
	c.add(t.packetsIn, float64(s.PacketsIn), labels...)
	c.add(t.packetsOut, float64(s.PacketsOut), labels...)
	c.add(t.bytesIn, float64(s.BytesIn), labels...)
	c.add(t.bytesOut, float64(s.BytesOut), labels...)
}

func (c collection) counts(n *counts, s holdfast.Status) {
	for kind, count := range n.kinds {
		c.add(eventCount, float64(count), string(kind))
	}
	c.add(eventsMissed, float64(n.missed))
	for i := range s.Instances {
		c.changes(n, instanceChanges, holdfast.EventInstance, s.Instances[i].Instance.String())
	}
	for _, service := range s.Services {
		c.changes(n, serviceChanges, holdfast.EventService, service.Service)
		c.add(repairs, float64(n.repairs[service.Service]), service.Service)
		for _, server := range service.Servers {
			c.changes(n, serverChanges, holdfast.EventServer, service.Service+" "+server.Server, service.Service, server.Server)
		}
	}
	for _, t := range s.Trackers {
		c.changes(n, trackerChanges, holdfast.EventTracker, t.ID)
	}
	c.timing(detection, &n.detection)
	c.timing(takeover, &n.takeover)
	c.add(reloads, float64(n.reloads[true]), "success")
	c.add(reloads, float64(n.reloads[false]), "failure")
	c.add(reloadOK, truth(!n.reloadBad))
	c.add(reloadedAt, seconds(n.reloadedAt))
}

// changes gives the transitions of one object. labels name it, the object itself if there are none.
func (c collection) changes(n *counts, f family, kind holdfast.EventKind, object string, labels ...string) {
	if labels == nil {
		labels = []string{object}
	}
	for state, count := range n.transitions[subject{kind, object}] {
		c.add(f, float64(count), append(labels[:len(labels):len(labels)], state)...)
	}
}

func (c collection) histogram(f family, h holdfast.Histogram) {
	buckets, count := make(map[float64]uint64, len(h.Bounds)), uint64(0)
	for i, bound := range h.Bounds {
		count += h.Counts[i]
		buckets[bound.Seconds()] = count
	}
	c.ch <- prometheus.MustNewConstHistogram(f.desc, h.Count(), h.Sum.Seconds(), buckets)
}

func (c collection) timing(f family, t *timing) {
	buckets, count := make(map[float64]uint64, len(timingBounds)), uint64(0)
	for i, bound := range timingBounds {
		count += t.counts[i]
		buckets[bound] = count
	}
	c.ch <- prometheus.MustNewConstHistogram(f.desc, count+t.counts[len(timingBounds)], t.sum.Seconds(), buckets)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds since 1970, 0 for never.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

// BuildVersion is what the Go build recorded of the program: the revision, or the module's version.
func BuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
