package ipvs

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// This file writes the options of ipvsadm, in the order of ipvsadm -Sn.

// String is the ipvsadm line that does the same. Thresholds are in it, which ipvsadm -Sn leaves out.
func (o Op) String() string {
	key := o.Service.ServiceKey.arguments()
	switch o.Action {
	case AddService:
		return "-A " + o.Service.arguments()
	case EditService:
		return "-E " + o.Service.arguments()
	case DeleteService:
		return "-D " + key
	case AddDestination:
		return "-a " + key + " " + o.Destination.arguments()
	case EditDestination:
		return "-e " + key + " " + o.Destination.arguments()
	case DeleteDestination:
		return "-d " + key + " -r " + o.Destination.Addr.String()
	}
	return o.Action.String()
}

// String has one ipvsadm line per operation. A Plan from nothing reads like the output of ipvsadm -Sn.
func (p Plan) String() string {
	var b strings.Builder
	for i := range p {
		b.WriteString(p[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

func (k *ServiceKey) arguments() string {
	switch {
	case k.FWMark != 0 && k.IPv6:
		return "-f " + strconv.FormatUint(uint64(k.FWMark), 10) + " -6"
	case k.FWMark != 0:
		return "-f " + strconv.FormatUint(uint64(k.FWMark), 10)
	case k.Protocol == UDP:
		return "-u " + k.Addr.String()
	case k.Protocol == SCTP:
		return "--sctp-service " + k.Addr.String()
	}
	return "-t " + k.Addr.String()
}

// arguments are the key's and what the service itself has.
func (s *Service) arguments() string {
	var b strings.Builder
	b.WriteString(s.ServiceKey.arguments())
	b.WriteString(" -s " + s.scheduler())
	if s.Persistence > 0 {
		b.WriteString(" -p " + strconv.Itoa(int(s.Persistence/time.Second)))
		b.WriteString(s.granularityArgument())
		if s.Engine != "" {
			b.WriteString(" --pe " + s.Engine)
		}
	}
	if s.Flags&OnePacket != 0 {
		b.WriteString(" -o")
	}
	b.WriteString(s.schedulerFlags())
	return b.String()
}

func (s *Service) granularityArgument() string {
	g := s.granularity()
	switch {
	case s.is6() && g != 128:
		return " -M " + strconv.Itoa(g)
	case !s.is6() && g != 32:
		return " -M " + net.IP(net.CIDRMask(g, 32)).String()
	}
	return ""
}

// schedulerFlags are by the names that two schedulers have for them, or by the general ones.
func (s *Service) schedulerFlags() string {
	names := []string{"flag-1", "flag-2", "flag-3"}
	if name := s.scheduler(); name == "sh" || name == "mh" {
		names[0], names[1] = name+"-fallback", name+"-port"
	}
	var set []string
	for i, flag := range []Flags{Sched1, Sched2, Sched3} {
		if s.Flags&flag != 0 {
			set = append(set, names[i])
		}
	}
	if set == nil {
		return ""
	}
	return " -b " + strings.Join(set, ",")
}

func (d *Destination) arguments() string {
	text := "-r " + d.Addr.String() + " " + d.Forward.option() + " -w " + strconv.Itoa(d.Weight)
	if d.Forward == Tunnel {
		text += d.Tunnel.arguments()
	}
	if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
		text += " -x " + strconv.FormatUint(uint64(d.UpperThreshold), 10) + " -y " + strconv.FormatUint(uint64(d.LowerThreshold), 10)
	}
	return text
}

func (f Forward) option() string {
	switch f {
	case Masq:
		return "-m"
	case Tunnel:
		return "-i"
	}
	return "-g"
}

func (t *TunnelOptions) arguments() string {
	text := " --tun-type " + t.Type.String()
	if t.Type == GUE {
		text += " --tun-port " + strconv.Itoa(int(t.Port))
	}
	if t.Type != IPIP {
		text += " --tun-" + t.Checksum.String()
	}
	return text
}
