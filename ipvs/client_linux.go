package ipvs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel speaks generic netlink of its own making, in batches; what moby/ipvs says as well goes through that, see moby_linux.go.
type kernel struct {
	space   *namespace
	family  atomic.Uint32 // the number that generic netlink gave to IPVS; another one when the module was loaded again
	release release
	writer  lane
	reader  lane // so that to read 10,000 services does not hold up the change of a weight
	moby    mobyHandle
}

// lane is a socket and the turn to use it.
type lane struct {
	turn   chan struct{} // empty while somebody uses the socket
	socket *socket
}

func newLane(space *namespace, timeout time.Duration) lane {
	l := lane{turn: make(chan struct{}, 1), socket: newSocket(space, timeout)}
	l.turn <- struct{}{}
	return l
}

// use calls f with the socket when it is its turn.
func (l *lane) use(ctx context.Context, f func(s *socket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-l.turn:
		defer func() { l.turn <- struct{}{} }()
		if l.socket.space.closed() {
			return errClosed
		}
		return f(l.socket)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func openKernel(o ClientOptions) (kernelTable, error) {
	space, err := openNamespace(o.NetNS)
	if err != nil {
		return nil, fmt.Errorf("ipvs: open: %w", err)
	}
	k := &kernel{space: space, writer: newLane(space, o.Timeout), reader: newLane(space, o.Timeout), release: runningRelease()}
	k.moby.space = space
	if err := k.probe(); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// probe finds the family, and asks something of it, which needs the privilege that all else will need.
func (k *kernel) probe() error {
	ctx := context.Background()
	err := k.reader.use(ctx, func(s *socket) error { return k.findFamily(ctx, s) })
	if err != nil {
		return fmt.Errorf("ipvs: open: %w", err)
	}
	_, err = k.Info(ctx)
	return err
}

func ensureModule() error {
	if _, err := netlink.GenlFamilyGet(familyName); err == nil {
		return nil
	}
	if out, err := exec.Command("modprobe", "ip_vs").CombinedOutput(); err != nil {
		return fmt.Errorf("ipvs: load the module: %w", noIPVS(fmt.Errorf("modprobe ip_vs: %w: %s", err, bytes.TrimSpace(out))))
	}
	return nil
}

// Close waits for what is under way.
func (k *kernel) Close() error {
	<-k.writer.turn
	<-k.reader.turn
	k.writer.socket.close()
	k.reader.socket.close()
	k.space.close()
	k.moby.close()
	k.writer.turn <- struct{}{}
	k.reader.turn <- struct{}{}
	return nil
}

// findFamily asks for the number of the family.
func (k *kernel) findFamily(ctx context.Context, s *socket) error {
	seq := s.nextSeq(1)
	err := s.ask(ctx, appendFamilyRequest(nil, seq), seq, func(a *answer) error {
		family, err := decodeFamily(a)
		k.family.Store(uint32(family))
		return err
	})
	if errors.Is(err, unix.ENOENT) {
		return noIPVS(err)
	}
	return err
}

// withFamily calls f, and again when the kernel does not know the family by its number any more. ENOENT may mean that.
func (k *kernel) withFamily(ctx context.Context, s *socket, f func(family uint16) error) error {
	family := k.family.Load()
	err := f(uint16(family))
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := k.findFamily(ctx, s); err != nil {
		return err
	}
	if now := k.family.Load(); now != family {
		return f(uint16(now))
	}
	return err
}

// Services reads the services in one dump and the destinations of each in one more: the kernel has no dump of all.
func (k *kernel) Services(ctx context.Context) (all []ServiceStatus, err error) {
	err = k.reader.use(ctx, func(s *socket) error {
		if all, err = k.dumpServices(ctx, s); err != nil {
			return readError("services", err)
		}
		var room []DestinationStatus
		for i := range all {
			if room, err = k.dumpDestinations(ctx, s, &all[i].ServiceKey, room); err != nil {
				return readError("destinations of "+all[i].ServiceKey.String(), err)
			}
			all[i].Destinations = slices.Clone(room)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Service implements [Table].
func (k *kernel) Service(ctx context.Context, key ServiceKey) (status ServiceStatus, err error) {
	err = k.reader.use(ctx, func(s *socket) error {
		if status, err = k.readService(ctx, s, &key); err == nil {
			status.Destinations, err = k.dumpDestinations(ctx, s, &key, nil)
		}
		if errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("ipvs: read %v: %w: %w", key, ErrServiceNotFound, err)
		}
		return readError(key.String(), err)
	})
	if err != nil {
		return ServiceStatus{}, err
	}
	return status, nil
}

func (k *kernel) readService(ctx context.Context, s *socket, key *ServiceKey) (status ServiceStatus, err error) {
	if err := key.validateName(); err != nil {
		return ServiceStatus{}, err
	}
	err = k.withFamily(ctx, s, func(family uint16) error {
		seq := s.nextSeq(1)
		return s.ask(ctx, appendRequest(nil, family, flagRequest|flagAck, seq, cmdGetService, key), seq, func(a *answer) (err error) {
			status, err = decodeService(a)
			return err
		})
	})
	return status, err
}

func (k *kernel) dumpServices(ctx context.Context, s *socket) (all []ServiceStatus, err error) {
	err = k.dump(ctx, s, cmdGetService, nil, func() { all = []ServiceStatus{} }, func(a *answer) error {
		status, err := decodeService(a)
		all = append(all, status)
		return err
	})
	return all, err
}

// dumpDestinations returns room with the destinations of a service in place of what was in it.
func (k *kernel) dumpDestinations(ctx context.Context, s *socket, key *ServiceKey, room []DestinationStatus) ([]DestinationStatus, error) {
	family := key.family()
	err := k.dump(ctx, s, cmdGetDest, key, func() { room = room[:0] }, func(a *answer) error {
		status, err := decodeDestination(a, family)
		room = append(room, status)
		return err
	})
	return room, err
}

// tornLimit is how often a dump is tried that others' changes tear.
const tornLimit = 10

// dump reads a list. It begins anew, with reset, when the kernel says that the list changed meanwhile.
func (k *kernel) dump(ctx context.Context, s *socket, cmd command, key *ServiceKey, reset func(), take func(a *answer) error) error {
	for tries := 1; ; tries++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		reset()
		err := k.withFamily(ctx, s, func(family uint16) error {
			seq := s.nextSeq(1)
			s.out = appendRequest(s.out[:0], family, flagRequest|flagDump, seq, cmd, key)
			return s.ask(ctx, s.out, seq, take)
		})
		torn := errors.Is(err, errTorn) || errors.Is(err, unix.ENOBUFS)
		if !torn || tries == tornLimit {
			return err
		}
	}
}

// command sends a message that is answered by a verdict only. A message that does nothing goes with it: when only that is
// answered, the command was interrupted, which the kernel does not tell (netlink_rcv_skb).
func (k *kernel) command(ctx context.Context, cmd command, body func(b []byte) []byte) error {
	return k.writer.use(ctx, func(s *socket) error {
		return k.withFamily(ctx, s, func(family uint16) error {
			seq := s.nextSeq(2)
			b, start := beginMessage(s.out[:0], family, flagRequest|flagAck, seq, cmd)
			b = endMessage(body(b), start)
			b, start = beginMessage(b, msgNoop, flagRequest|flagAck, seq+1, 0)
			s.out = endMessage(b, start)
			if err := s.send(s.out); err != nil {
				return err
			}
			var result error = &verdict{errno: unix.EINTR}
			err := s.answers(ctx, seq+1, 2, bufferLen, func(a *answer) error {
				if a.seq == seq {
					result = a.verdict()
				}
				return nil
			})
			if err != nil {
				return err
			}
			return result
		})
	})
}

// readError says what was read, and what would help.
func readError(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("ipvs: read %s: %w: run as root or with CAP_NET_ADMIN", what, err)
	}
	return fmt.Errorf("ipvs: read %s: %w", what, err)
}
