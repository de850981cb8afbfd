package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// Table holds services and destinations: the kernel does, and so does the fake of package ipvstest. Its methods may be called
// from several goroutines at once.
//
// A table may be able to do more, with methods of the names and meanings that [Client]'s have; whoever needs one asserts for
// it:
//
//	if z, ok := table.(interface{ Zero(context.Context, ...ipvs.ServiceKey) error }); ok {
//
// What a table cannot hold it refuses with an error that wraps errors.ErrUnsupported.
type Table interface {
	// Services lists everything in the table, in no particular order. An empty table is an empty list.
	Services(ctx context.Context) ([]ServiceStatus, error)
	// Service reads one service. One that is not there is an error that wraps ErrServiceNotFound.
	Service(ctx context.Context, key ServiceKey) (ServiceStatus, error)
	// Apply does the operations in order. One that fails does not keep the rest from being tried; the errors, each an
	// *Error, are joined. When ctx ends the operations that are left are not tried, and one error more tells how many.
	Apply(ctx context.Context, plan Plan) error
	// Close gives up the table's resources. What is in it stays.
	Close() error
}

// What an operation can fail of. Each also answers errors.Is for fs.ErrNotExist or fs.ErrExist.
var (
	ErrServiceNotFound     error = &kind{"no such service", fs.ErrNotExist}
	ErrDestinationNotFound error = &kind{"no such destination", fs.ErrNotExist}
	ErrSchedulerNotFound   error = &kind{"no such scheduler, or its module cannot be loaded", fs.ErrNotExist}
	ErrExists              error = &kind{"exists already", fs.ErrExist}
)

type kind struct {
	text   string
	parent error
}

func (k *kind) Error() string { return k.text }
func (k *kind) Unwrap() error { return k.parent }

// Error is one operation that failed.
type Error struct {
	// Op is the operation.
	Op Op
	// Kind is one of this package's errors, or nil when the cause is of no kind of its own.
	Kind error
	// Err is the cause, an errno where the kernel said no.
	Err error
	// Message is what the kernel said beside the errno. It seldom does.
	Message string
}

// Error says what was tried on what, why it failed, and where one knows what to do.
func (e *Error) Error() string {
	object := e.Op.Service.ServiceKey.String()
	if e.Op.Destination.Addr.IsValid() {
		object += " destination " + e.Op.Destination.Addr.String()
	}
	why := e.Err
	if e.Kind != nil {
		why = e.Kind
	}
	text := fmt.Sprintf("ipvs: %v %s: %v", e.Op.Action, object, why)
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text + e.hint()
}

// hint is what one may want to know beside an errno.
func (e *Error) hint() string {
	s := &e.Op.Service
	switch {
	case e.Kind == ErrSchedulerNotFound && s.Engine != "":
		return fmt.Sprintf(" (scheduler %s or persistence engine %s)", s.scheduler(), s.Engine)
	case e.Kind == ErrSchedulerNotFound && schedulerSince[s.Scheduler] != release{}:
		return fmt.Sprintf(" (scheduler %s, which Linux has since %v)", s.Scheduler, schedulerSince[s.Scheduler])
	case e.Kind == ErrSchedulerNotFound:
		return fmt.Sprintf(" (scheduler %s)", s.scheduler())
	case e.Kind == nil && errors.Is(e.Err, fs.ErrPermission):
		return " (run as root or with CAP_NET_ADMIN)"
	case e.Kind == nil && e.Op.Action == AddDestination && errors.Is(e.Err, syscall.EINVAL):
		return " (is it a unicast address that this machine has a route to? and no other family while a sync daemon runs)"
	}
	return ""
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	var causes []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			causes = append(causes, err)
		}
	}
	return causes
}

// services strips the status off.
func services(status []ServiceStatus) []Service {
	list := make([]Service, len(status))
	for i := range status {
		list[i] = status[i].Wish()
	}
	return list
}

// noIPVS is the error of a kernel without a table.
func noIPVS(cause error) error {
	if cause == nil {
		return fmt.Errorf("%w: only Linux has ip_vs", errors.ErrUnsupported)
	}
	return fmt.Errorf("%w: this kernel has no ip_vs, or its module is not loaded (as root: modprobe ip_vs): %w", errors.ErrUnsupported, cause)
}
