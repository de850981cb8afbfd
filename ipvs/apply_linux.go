package ipvs

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// batchOps bounds what one system call does: nothing else happens to the table meanwhile. So many of the longest messages
// are below every kernel's send buffer.
const batchOps = 256

// Apply implements [Table].
func (k *kernel) Apply(ctx context.Context, plan Plan) error {
	var errs []error
	for len(plan) > 0 {
		n := 0
		err := k.writer.use(ctx, func(s *socket) error {
			n = batchLen(plan, s)
			results := k.batch(ctx, s, plan[:n])
			for i, err := range results {
				if err != nil {
					errs = append(errs, opError(plan[i], err))
				}
			}
			return nil
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("ipvs: %d operations, from %q on, not tried: %w", len(plan), plan[0].String(), err))
			break
		}
		plan = plan[n:]
	}
	return errors.Join(errs...)
}

// batchLen cuts a plan before a service is added, if it can, so that the service has its destinations at once. The verdicts
// on all of a batch fit into the socket's receive buffer, should all fail.
func batchLen(plan Plan, s *socket) int {
	limit := batchOps
	if s.open() == nil {
		limit = min(limit, s.limit)
	}
	if len(plan) <= limit {
		return len(plan)
	}
	for n := limit; n > limit/2; n-- {
		if plan[n].Action == AddService {
			return n
		}
	}
	return limit
}

// batch does operations and returns the error of each, or nil. ENOENT may mean that the family has another number now, and
// then nothing was done.
func (k *kernel) batch(ctx context.Context, s *socket, ops []Op) []error {
	family := k.family.Load()
	results := make([]error, len(ops))
	k.run(ctx, s, uint16(family), ops, results)
	for i := range results {
		if !errors.Is(results[i], unix.ENOENT) {
			continue
		}
		if err := k.findFamily(ctx, s); err != nil {
			replace(results, err)
		} else if now := k.family.Load(); now != family {
			k.run(ctx, s, uint16(now), ops, results)
		}
		break
	}
	return results
}

// replace puts a better reason in the place of ENOENT.
func replace(results []error, err error) {
	for i := range results {
		if errors.Is(results[i], unix.ENOENT) {
			results[i] = err
		}
	}
}

// run sends all operations in one system call. Only the last message asks for an acknowledgement: the kernel does them in
// order, answers those that fail in order, and so the last answer tells of all.
func (k *kernel) run(ctx context.Context, s *socket, family uint16, ops []Op, results []error) {
	first, last, tail := s.nextSeq(len(ops)), -1, 0
	s.out = s.out[:0]
	for i := range ops {
		start := len(s.out)
		if results[i] = k.release.supports(&ops[i]); results[i] == nil {
			s.out, results[i] = appendOp(s.out, family, flagRequest, first+uint32(i), &ops[i])
		}
		if results[i] == nil {
			last, tail = i, start
		}
	}
	if last < 0 {
		return
	}
	native.PutUint16(s.out[tail+6:], flagRequest|flagAck)
	if err := s.send(s.out); err != nil {
		markUnanswered(results, 0, last, err)
		return
	}
	seen := -1
	err := s.answers(ctx, first+uint32(last), verdicts, verdictLen, func(a *answer) error {
		if i := int(a.seq - first); i >= 0 && i <= last {
			seen, results[i] = i, a.verdict()
		}
		return nil
	})
	if err != nil {
		markUnanswered(results, seen+1, last, fmt.Errorf("what became of it is not known: %w", err))
	}
}

// markUnanswered gives an error to the operations from first to last that have none.
func markUnanswered(results []error, first, last int, err error) {
	for i := first; i <= last; i++ {
		if results[i] == nil {
			results[i] = err
		}
	}
}

// opError maps an errno by operation (net/netfilter/ipvs/ip_vs_ctl.c): ESRCH is a missing service; ENOENT is a missing
// destination for operations on destinations, and a missing scheduler for those on services.
func opError(op Op, err error) error {
	e := &Error{Op: op.named(), Err: err, Kind: kindOf(op.Action, err)}
	if v, ok := err.(*verdict); ok {
		e.Err, e.Message = v.errno, v.message
	}
	return e
}

func kindOf(action Action, err error) error {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil // it says more itself
	case errors.Is(err, unix.ESRCH):
		return ErrServiceNotFound
	case errors.Is(err, unix.ENOENT) && action <= DeleteService:
		return ErrSchedulerNotFound
	case errors.Is(err, unix.ENOENT):
		return ErrDestinationNotFound
	case errors.Is(err, unix.EEXIST):
		return ErrExists
	case errors.Is(err, unix.EAFNOSUPPORT):
		return errNoIPv6
	}
	return nil
}
