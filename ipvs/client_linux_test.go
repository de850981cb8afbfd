package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// actor plays the kernel at the other end of a socket: it is given the messages of one system call and answers.
type actor struct {
	t      *testing.T
	answer func(request []answer) []byte // called one at a time

	mu    sync.Mutex // guards the fields below, and what answer uses
	calls [][]answer
	dials int
	fd    int // of the last dial, the client's end
}

// play gives a client whose kernel is the actor. Its family is 26.
func play(t *testing.T, answers func(request []answer) []byte) (*kernel, *actor) {
	a := &actor{t: t, answer: answers}
	space, err := openNamespace("")
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{space: space, writer: newLane(space, 100*time.Millisecond), reader: newLane(space, 100*time.Millisecond), release: release{6, 1}}
	k.moby.space = space
	k.writer.socket.dial, k.reader.socket.dial = a.dial, a.dial
	k.family.Store(26)
	t.Cleanup(func() { k.Close() })
	return k, a
}

func (a *actor) dial() (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	a.mu.Lock()
	a.dials++
	a.fd = pair[0]
	a.mu.Unlock()
	go a.serve(pair[1])
	return pair[0], nil
}

func (a *actor) serve(fd int) {
	defer unix.Close(fd)
	room := make([]byte, 1<<18)
	for {
		n, err := unix.Read(fd, room)
		if n <= 0 || err != nil {
			return
		}
		var request []answer
		for b := slices.Clone(room[:n]); len(b) > 0; {
			var m answer
			if m, b, err = nextAnswer(b); err != nil {
				a.t.Errorf("the client sends what is no message: %v", err)
				return
			}
			request = append(request, m)
		}
		a.mu.Lock()
		a.calls = append(a.calls, request)
		reply := a.answer(request)
		a.mu.Unlock()
		if len(reply) > 0 {
			_, _ = unix.Write(fd, reply)
		}
	}
}

// do calls f while the actor does nothing, which also tells the race detector of what went before.
func (a *actor) do(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *actor) seen() (calls [][]answer, dials int) {
	a.do(func() { calls, dials = slices.Clone(a.calls), a.dials })
	return calls, dials
}

func (m *answer) command() command { return command(m.body[0]) }

// reply is a message of the kernel: a verdict, or something else with a body.
func reply(b []byte, typ, flags uint16, seq uint32, body ...byte) []byte {
	start := len(b)
	b = native.AppendUint32(b, 0)
	b = native.AppendUint16(b, typ)
	b = native.AppendUint16(b, flags)
	b = native.AppendUint32(b, seq)
	b = native.AppendUint32(b, 0)
	b = append(b, body...)
	native.PutUint32(b[start:], uint32(len(b)-start))
	return append(b, make([]byte, padding(len(body)))...)
}

func verdictOn(b []byte, seq uint32, errno unix.Errno) []byte {
	return reply(b, msgError, flagCapped, seq, append(native.AppendUint32(nil, uint32(-int32(errno))), make([]byte, headerLen)...)...)
}

// refuse answers as the kernel does: those that fail, and the last one.
func refuse(request []answer, failing func(i int) unix.Errno) (b []byte) {
	for i, m := range request {
		if errno := failing(i); errno != 0 || m.flags&flagAck != 0 {
			b = verdictOn(b, m.seq, errno)
		}
	}
	return b
}

func allWell(request []answer) []byte {
	return refuse(request, func(int) unix.Errno { return 0 })
}

func additions(n int) (plan Plan) {
	for i := range n {
		d := Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)}
		plan = append(plan, Op{Action: AddDestination, Service: Service{ServiceKey: keyIPv4}, Destination: d})
	}
	return plan
}

// failed are the errors in a joined one.
func failed(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}

func TestBatches(t *testing.T) {
	k, a := play(t, allWell)
	if err := k.Apply(t.Context(), additions(600)); err != nil {
		t.Fatal(err)
	}
	sent := 0
	calls, _ := a.seen()
	for _, call := range calls {
		sent += len(call)
		for i, m := range call {
			if last := i == len(call)-1; m.flags&flagAck != 0 != last {
				t.Fatalf("message %d of %d asks for an acknowledgement: %v", i, len(call), !last)
			}
		}
	}
	if sent != 600 || len(calls) > 6 {
		t.Fatalf("%d messages in %d system calls", sent, len(calls))
	}
}

// TestBatchesKeepServicesWhole: a batch ends before a service is added, so that traffic does not meet it without destinations.
func TestBatchesKeepServicesWhole(t *testing.T) {
	k, a := play(t, allWell)
	var plan Plan
	for i := range 200 {
		s := Service{ServiceKey: ServiceKey{FWMark: uint32(i + 1)}}
		plan = append(plan, Op{Action: AddService, Service: s})
		for _, d := range additions(4) {
			plan = append(plan, Op{Action: AddDestination, Service: s, Destination: d.Destination})
		}
	}
	if err := k.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	calls, _ := a.seen()
	for i, call := range calls {
		if first := call[0].command(); first != cmdNewService {
			t.Errorf("batch %d of %d begins with command %d", i, len(calls), first)
		}
	}
}

// TestErrorsFindTheirOperation: whichever operations of a batch fail, the errors name them and nothing else.
func TestErrorsFindTheirOperation(t *testing.T) {
	errnos := map[int]unix.Errno{0: unix.EEXIST, 3: unix.ESRCH, 4: unix.ENOMEM, 9: unix.EINVAL}
	k, _ := play(t, func(request []answer) []byte {
		return refuse(request, func(i int) unix.Errno { return errnos[i] })
	})
	plan := additions(10)
	plan[6].Destination.Weight = -1 // never sent
	got := make(map[netip.AddrPort]error)
	for _, err := range failed(k.Apply(t.Context(), plan)) {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Op.Action != AddDestination || e.Op.Service.ServiceKey != keyIPv4 {
			t.Fatalf("%#v", err)
		}
		got[e.Op.Destination.Addr] = err
	}
	// One was not sent, so that the numbers of those behind it are off by one for the actor.
	for i, want := range map[int]error{0: ErrExists, 3: ErrServiceNotFound, 4: unix.ENOMEM, 6: nil} {
		if err := got[plan[i].Destination.Addr]; err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("operation %d: %v, want %v", i, err, want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d errors: %v", len(got), got)
	}
}

func TestNoAnswer(t *testing.T) {
	silent := true
	k, a := play(t, func(request []answer) []byte {
		if silent {
			return nil
		}
		return allWell(request)
	})
	err := k.Apply(t.Context(), additions(2))
	if n := len(failed(err)); n != 2 || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "what became of it is not known") {
		t.Errorf("%d errors: %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := k.Services(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Services beyond its deadline: %v", err)
	}
	a.do(func() { silent = false })
	err = k.Apply(t.Context(), additions(2))
	if _, dials := a.seen(); err != nil || dials != 3 {
		t.Errorf("afterwards, on a fresh socket: %v, %d sockets", err, dials)
	}
}

// TestTurn: who waits for a turn hears its context.
func TestTurn(t *testing.T) {
	k, _ := play(t, allWell)
	<-k.writer.turn
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if err := k.Apply(ctx, additions(3)); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "3 operations") {
		t.Error(err)
	}
	k.writer.turn <- struct{}{}
	if err := k.Apply(ctx, additions(3)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestBrokenSocket: one that was closed behind the client's back is opened again, and nothing is lost.
func TestBrokenSocket(t *testing.T) {
	k, a := play(t, allWell)
	for range 2 {
		if err := k.Apply(t.Context(), additions(1)); err != nil {
			t.Fatal(err)
		}
		a.do(func() { unix.Shutdown(a.fd, unix.SHUT_RDWR) })
	}
	err := k.Apply(t.Context(), additions(1))
	if _, dials := a.seen(); err != nil || dials != 3 {
		t.Fatalf("%v, %d sockets", err, dials)
	}
}

func TestTornDump(t *testing.T) {
	littleEndian(t)
	dumps := 0
	k, a := play(t, func(request []answer) (b []byte) {
		m := request[0]
		if m.command() == cmdGetService {
			dumps++
			flags := uint16(0)
			if dumps < 3 {
				flags = flagInterrupted
			}
			b = reply(b, 26, flags, m.seq, unhexBody(t, serviceAnswer)...)
		}
		return reply(b, msgDone, 0, m.seq, 0, 0, 0, 0)
	})
	all, err := k.Services(t.Context())
	a.do(func() {
		if err != nil || len(all) != 1 || dumps != 3 {
			t.Fatalf("%d services after %d dumps: %v", len(all), dumps, err)
		}
		dumps = -100
	})
	_, err = k.Services(t.Context())
	a.do(func() {
		if !errors.Is(err, errTorn) || dumps != -100+tornLimit {
			t.Fatalf("torn again and again, after %d dumps: %v", 100+dumps, err)
		}
	})
}

// TestContextEndsWithinARead: to read a large table ends with its context, not when all is read.
func TestContextEndsWithinARead(t *testing.T) {
	littleEndian(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k, a := play(t, func(request []answer) (b []byte) {
		m := request[0]
		if m.command() == cmdGetService {
			for range 50 {
				b = reply(b, 26, 0, m.seq, unhexBody(t, serviceAnswer)...)
			}
		} else {
			cancel()
		}
		return reply(b, msgDone, 0, m.seq, 0, 0, 0, 0)
	})
	_, err := k.Services(ctx)
	if calls, _ := a.seen(); !errors.Is(err, context.Canceled) || len(calls) > 2 {
		t.Errorf("after %d requests: %v", len(calls), err)
	}
}

func unhexBody(t *testing.T, text string) []byte { return unhex(t, text)[headerLen:] }

// TestFamilyIsRenumbered: the module was unloaded and loaded, and nobody told us.
func TestFamilyIsRenumbered(t *testing.T) {
	now := uint16(27)
	k, a := play(t, func(request []answer) (b []byte) {
		switch m := request[0]; {
		case m.typ == ctrlFamily && now == 0:
			return verdictOn(nil, m.seq, unix.ENOENT)
		case m.typ == ctrlFamily:
			return verdictOn(reply(nil, ctrlFamily, 0, m.seq, append([]byte{1, 2, 0, 0}, append16(nil, ctrlFamilyID, now)...)...), m.seq, 0)
		case m.typ != now:
			return refuse(request, func(int) unix.Errno { return unix.ENOENT })
		}
		return allWell(request)
	})
	if err := k.Apply(t.Context(), additions(3)); err != nil {
		t.Errorf("after another number was found: %v", err)
	}
	calls, _ := a.seen()
	if last := calls[len(calls)-1]; len(last) != 3 || last[0].typ != 27 {
		t.Errorf("the last call has %d messages for family %d", len(last), last[0].typ)
	}
	k.family.Store(26)
	if err := k.Zero(t.Context()); err != nil || k.family.Load() != 27 {
		t.Errorf("a command after another number was found: %v, family %d", err, k.family.Load())
	}
	a.do(func() { now = 0 })
	err := k.Apply(t.Context(), additions(3))
	if n := len(failed(err)); n != 3 || !errors.Is(err, errors.ErrUnsupported) || errors.Is(err, ErrDestinationNotFound) {
		t.Errorf("without a family, %d errors: %v", n, err)
	}
	if _, err := k.Services(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a family: %v", err)
	}
}

func TestPermissionLost(t *testing.T) {
	k, _ := play(t, func(request []answer) []byte { return refuse(request, func(int) unix.Errno { return unix.EPERM }) })
	err := k.Apply(t.Context(), additions(2))
	if n := len(failed(err)); n != 2 || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("%d errors: %v", n, err)
	}
	if _, err := k.Service(t.Context(), keyIPv4); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Error(err)
	}
}

// TestOldKernel: what it would leave out in silence is refused, with the version that has it, and the rest is done.
func TestOldKernel(t *testing.T) {
	k, a := play(t, allWell)
	k.release = parseRelease("4.19.0-27-amd64")
	plan := additions(3)
	plan[1].Destination = gue()
	err := k.Apply(t.Context(), plan)
	if n := len(failed(err)); n != 1 || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "needs Linux 5.3, this is 4.19") {
		t.Errorf("%d errors: %v", n, err)
	}
	calls, _ := a.seen()
	if n := len(calls[0]); n != 2 {
		t.Errorf("%d operations done", n)
	}
	k.release = parseRelease("4.1.0")
	if err := k.StartSync(t.Context(), SyncDaemon{Role: SyncMaster, Interface: "eth0", TTL: 2}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	d := gue()
	d.Tunnel.Checksum = NoChecksum
	op := Op{Action: AddDestination, Service: Service{ServiceKey: keyIPv4}, Destination: d}
	for version, supported := range map[string]bool{"5.1.21": false, "5.2.0": true, "6.0": true, "4.99": false} {
		if err := parseRelease(version).supports(&op); (err == nil) != supported {
			t.Errorf("GUE on Linux %s: %v", version, err)
		}
	}
	if r := parseRelease("what?"); r.supports(&plan[1]) != nil {
		t.Error("a version that cannot be read is not taken for a new one")
	}
}

func TestGarbage(t *testing.T) {
	for name, body := range map[string]func(seq uint32) []byte{
		"half a message":     func(seq uint32) []byte { return verdictOn(nil, seq, 0)[:headerLen+2] },
		"a short verdict":    func(seq uint32) []byte { return reply(nil, msgError, 0, seq, 1, 2) },
		"no service in it":   func(seq uint32) []byte { return reply(nil, 26, 0, seq, 1, 1, 0, 0) },
		"a service too long": func(seq uint32) []byte { return reply(nil, 26, 0, seq, 1, 1, 0, 0, 9, 0, 1, 0, 0) },
	} {
		k, _ := play(t, func(request []answer) []byte {
			return verdictOn(body(request[0].seq), request[0].seq, 0)
		})
		if _, err := k.Services(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "ipvs: read services: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStaleAnswers: answers to what was asked before are passed over.
func TestStaleAnswers(t *testing.T) {
	k, _ := play(t, func(request []answer) []byte {
		stale := verdictOn(nil, request[0].seq-1, unix.EINVAL)
		return append(verdictOn(stale, 0, unix.EBUSY), allWell(request)...)
	})
	k.writer.socket.seq = 1<<31 + 1
	for range 2 {
		if err := k.Apply(t.Context(), additions(2)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStaleLists: nor does what was asked before get into a list.
func TestStaleLists(t *testing.T) {
	littleEndian(t)
	k, _ := play(t, func(request []answer) []byte {
		seq := request[0].seq
		b := reply(nil, 26, 0, seq-1, unhexBody(t, serviceAnswer)...)
		b = verdictOn(b, seq-1, unix.EINVAL)
		return reply(b, msgDone, 0, seq, 0, 0, 0, 0)
	})
	k.reader.socket.seq = 7
	if all, err := k.Services(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d services, %v", len(all), err)
	}
}

func TestClosed(t *testing.T) {
	k, _ := play(t, allWell)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Apply": k.Apply(t.Context(), additions(1)), "Flush": k.Flush(t.Context()), "Zero": k.Zero(t.Context()),
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s of a closed client: %v", name, err)
		}
	}
	if err := k.Close(); err != nil {
		t.Error("closed twice:", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	k, _ := play(t, allWell)
	var all sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		all.Go(func() { errs <- k.Apply(t.Context(), additions(300)) })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	s := Service{ServiceKey: keyIPv4, Scheduler: "mh"}
	withEngine := s
	withEngine.Engine = "sip"
	for want, op := range map[string]Op{
		"ipvs: add service TCP 192.0.2.10:80: no such scheduler, or its module cannot be loaded (scheduler mh, which Linux has since 4.18)": {Action: AddService, Service: s},
		"ipvs: edit service TCP 192.0.2.10:80: no such scheduler, or its module cannot be loaded (scheduler mh or persistence engine sip)":  {Action: EditService, Service: withEngine},
		"ipvs: delete destination TCP 192.0.2.10:80 destination 10.0.0.1:80: no such destination":                                           {Action: DeleteDestination, Service: s, Destination: gue()},
	} {
		if err := opError(op, unix.ENOENT); err.Error() != want {
			t.Errorf("%v\nwant\n%s", err, want)
		}
	}
	err := opError(Op{Action: AddDestination, Service: s, Destination: gue()}, &verdict{unix.ERANGE, "weight is out of range"})
	if want := "ipvs: add destination TCP 192.0.2.10:80 destination 10.0.0.1:80: numerical result out of range: weight is out of range"; fmt.Sprint(err) != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
