package check

import (
	"context"
)

// Link is well while a network interface is up and has its carrier: the state of an interface as a reason of its own, beside
// those that an instance tracks by itself. It is a [Watcher]. Linux only.
type Link struct {
	// Name is that of the interface.
	Name string
}

// Check implements [Checker].
func (l Link) Check(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.look()
}

// Watch implements [Watcher].
func (l Link) Watch(ctx context.Context, tell func(Report, error)) error { return l.watch(ctx, tell) }
