package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"golang.org/x/sys/unix"
)

func runningRelease() release {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return parseRelease("")
	}
	return parseRelease(unix.ByteSliceToString(u.Release[:]))
}

// Zero implements [Client].
func (k *kernel) Zero(ctx context.Context, keys ...ServiceKey) error {
	if len(keys) == 0 {
		if err := k.command(ctx, cmdZero, func(b []byte) []byte { return b }); err != nil {
			return fmt.Errorf("ipvs: zero all counters: %w", err)
		}
	}
	var errs []error
	for _, key := range keys {
		err := k.command(ctx, cmdZero, func(b []byte) []byte { return appendService(b, &Service{ServiceKey: key}, false) })
		if errors.Is(err, unix.ESRCH) {
			err = fmt.Errorf("%w: %w", ErrServiceNotFound, err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("ipvs: zero counters of %v: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// Info implements [Client].
func (k *kernel) Info(ctx context.Context) (info Info, err error) {
	err = k.reader.use(ctx, func(s *socket) error {
		return k.withFamily(ctx, s, func(family uint16) error {
			seq := s.nextSeq(1)
			return s.ask(ctx, appendRequest(nil, family, flagRequest|flagAck, seq, cmdGetInfo, nil), seq, func(a *answer) (err error) {
				info, err = decodeInfo(a)
				return err
			})
		})
	})
	return info, readError("version", err)
}

// SyncDaemons implements [Client].
func (k *kernel) SyncDaemons(ctx context.Context) (all []SyncDaemon, err error) {
	err = k.reader.use(ctx, func(s *socket) error {
		return k.dump(ctx, s, cmdGetDaemon, nil, func() { all = nil }, func(a *answer) error {
			d, err := decodeDaemon(a)
			all = append(all, d)
			return err
		})
	})
	return all, readError("sync daemons", err)
}

// StartSync implements [Client].
func (k *kernel) StartSync(ctx context.Context, d SyncDaemon) error {
	err := d.Validate()
	if err != nil {
		return err
	}
	if need := d.needs(); k.release.before(need.since) {
		return fmt.Errorf("ipvs: start sync daemon: %w", k.release.unsupported(need))
	}
	err = k.command(ctx, cmdNewDaemon, func(b []byte) []byte { return appendDaemon(b, &d, true) })
	switch {
	case errors.Is(err, unix.EEXIST):
		err = fmt.Errorf("%w: %w", ErrExists, err)
	case errors.Is(err, unix.ENODEV):
		err = fmt.Errorf("%w: no such interface", err)
	case errors.Is(err, unix.EINVAL):
		err = fmt.Errorf("%w: is a destination there whose family is not its service's?", err)
	}
	if err != nil {
		return fmt.Errorf("ipvs: start sync daemon %v on %s: %w", d.Role, d.Interface, err)
	}
	return nil
}

// StopSync implements [Client].
func (k *kernel) StopSync(ctx context.Context, role SyncRole) error {
	err := k.command(ctx, cmdDelDaemon, func(b []byte) []byte { return appendDaemon(b, &SyncDaemon{Role: role}, false) })
	switch {
	case errors.Is(err, unix.EINTR): // it was stopped before it had begun
		return nil
	case errors.Is(err, unix.ESRCH):
		err = fmt.Errorf("none runs: %w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return fmt.Errorf("ipvs: stop sync daemon %v: %w", role, err)
	}
	return nil
}

// Connections implements [Client].
func (k *kernel) Connections(ctx context.Context) iter.Seq2[Connection, error] {
	return func(yield func(Connection, error) bool) {
		var file *os.File
		err := k.space.do(func() (err error) {
			file, err = os.Open("/proc/thread-self/net/ip_vs_conn")
			return err
		})
		if err != nil {
			yield(Connection{}, readError("connections", err))
			return
		}
		defer file.Close()
		for c, err := range parseConnections(file) {
			if err == nil {
				err = ctx.Err()
			}
			if !yield(c, readError("connections", err)) || err != nil {
				return
			}
		}
	}
}
