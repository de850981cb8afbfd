package holdfast

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/notify"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// pipe is a FIFO in use.
type pipe struct {
	spec   FIFO
	fifo   *notify.FIFO
	cancel context.CancelFunc // ends the reader
	closed atomic.Bool        // the reader may end by itself now
}

// openFIFOs brings the FIFOs in use to those that are wished for. n.mu is held.
func (n *notifier) openFIFOs() {
	want := make(map[string]FIFO, len(n.now.FIFOs))
	for _, f := range n.now.FIFOs {
		want[f.Path] = f
	}
	for path, p := range n.fifos {
		if !same(want[path], p.spec) {
			delete(n.fifos, path)
			n.closeFIFO(p)
		}
	}
	for _, f := range n.now.FIFOs {
		if n.fifos[f.Path] != nil {
			continue
		}
		p, err := n.openFIFO(f)
		if err != nil {
			n.lost("FIFO "+f.Path, err)
			continue
		}
		n.fifos[f.Path] = p
	}
}

// openFIFO starts the reader first: it may be the one that makes the pipe.
func (n *notifier) openFIFO(f FIFO) (*pipe, error) {
	p := &pipe{spec: f}
	var reading context.Context
	reading, p.cancel = context.WithCancel(context.Background())
	if f.Reader != nil {
		n.readers.Go(func() { n.read(reading, p) })
	}
	var err error
	if p.fifo, err = notify.OpenFIFO(f.Path, f.User, f.Group); err != nil {
		n.closeFIFO(p)
		return nil, err
	}
	return p, nil
}

// read runs a reader until it ends or is ended.
func (n *notifier) read(ctx context.Context, p *pipe) {
	err := n.run(ctx, p.spec.Reader.command(p.spec.Path))
	if p.closed.Load() {
		return
	}
	if err == nil {
		err = errors.New("it ended by itself")
	}
	n.lost("reader of FIFO "+p.spec.Path, err)
}

// readerMercy is how long a reader has for what is left in the pipe, whose end it sees.
const readerMercy = time.Second

// closeFIFO does not wait for the reader.
func (n *notifier) closeFIFO(p *pipe) {
	p.closed.Store(true)
	time.AfterFunc(readerMercy, p.cancel)
	if p.fifo == nil {
		return
	}
	if err := p.fifo.Close(); err != nil {
		n.log.Warn("close FIFO", "path", p.spec.Path, "error", err)
	}
}

func (n *notifier) writeLine(ctx context.Context, l line) error { return l.to.fifo.Write(ctx, l.text) }

// writeLines writes the line of an event to the FIFOs that are for such lines.
func (n *notifier) writeLines(m told) {
	text, ofInstances := n.lineOf(m)
	if text == "" {
		return
	}
	for _, f := range n.now.FIFOs {
		if p := n.fifos[f.Path]; p != nil && (ofInstances && f.Instances || !ofInstances && f.Services) {
			n.lines.Add(f.Path, line{p, text})
		}
	}
}

// repeat writes the states of instances and groups once more.
func (n *notifier) repeat(instances []vrrp.InstanceStatus, groups []Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil {
		return
	}
	for i := range instances {
		e := Event{Kind: EventInstance, Object: instances[i].Instance.String(), To: instances[i].State.String(), Priority: instances[i].Priority}
		n.writeLines(told{e, e.To})
	}
	for _, e := range groups {
		if e.To != "" {
			n.writeLines(told{e, e.To})
		}
	}
}

// lineOf is an event as a FIFO has it, and whether it is about an instance or a group.
func (n *notifier) lineOf(m told) (text string, ofInstances bool) {
	switch m.Kind {
	case EventInstance, EventRival:
		return fmt.Sprintf("INSTANCE %q %s %d\n", m.Object, m.state, m.Priority), true
	case EventPriority:
		if !n.tellsPriority(m.Object) {
			return "", true
		}
		return fmt.Sprintf("INSTANCE %q %s_PRIORITY %d\n", m.Object, m.From, m.Priority), true
	case EventGroup:
		return fmt.Sprintf("GROUP %q %s 0\n", m.Object, m.state), true
	case EventService:
		return fmt.Sprintf("VS %s %s\n", n.fifoService(m.Object), m.state), false
	case EventServer:
		return fmt.Sprintf("RS %s %s\n", n.fifoServer(m.Object), m.state), false
	}
	return "", false
}

func (n *notifier) tellsPriority(instance string) bool {
	return slices.Contains(n.now.Priorities, instance)
}

// fifoNames are the services whose names do not tell their key.
func fifoNames(spec *Spec) map[string]*Service {
	names := make(map[string]*Service)
	for i := range spec.Services {
		if s := &spec.Services[i]; s.Name != "" {
			names[s.Name] = s
		}
	}
	return names
}

// fifoService names a service as keepalived does. The name is that of an event.
func (n *notifier) fifoService(name string) string {
	if n.names[name] != nil {
		return name
	}
	proto, addr := fifoKey(name)
	if !addr.IsValid() {
		return name
	}
	return fifoAddr(proto, addr)
}

// fifoServer names a server and its service.
func (n *notifier) fifoServer(object string) string {
	i := strings.LastIndexByte(object, ' ')
	name := object[:max(i, 0)]
	proto, _ := fifoKey(name)
	if s := n.names[name]; s != nil {
		proto = s.Protocol.String()
		if s.Protocol == 0 {
			proto = "none"
		}
	}
	addr, err := netip.ParseAddrPort(object[i+1:])
	if err != nil {
		return object
	}
	return fifoAddr(proto, addr) + " " + n.fifoService(name)
}

// fifoKey takes the text of a service's key apart. One by mark has no address, and its protocol is none.
func fifoKey(name string) (proto string, addr netip.AddrPort) {
	proto, rest, _ := strings.Cut(name, " ")
	addr, err := netip.ParseAddrPort(rest)
	if err != nil {
		return "none", netip.AddrPort{}
	}
	return proto, addr
}

func fifoAddr(proto string, a netip.AddrPort) string {
	return fmt.Sprintf("[%v]:%s:%d", a.Addr(), strings.ToLower(proto), a.Port())
}
