package check

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

func (l Link) look() error {
	link, err := netlink.LinkByName(l.Name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return fmt.Errorf("interface %s does not exist", l.Name)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", l.Name, err)
	}
	switch a := link.Attrs(); {
	case a.Flags&net.FlagUp == 0:
		return fmt.Errorf("interface %s is down", l.Name)
	case a.Flags&net.FlagRunning == 0:
		return fmt.Errorf("interface %s has no carrier", l.Name)
	}
	return nil
}

func (l Link) watch(ctx context.Context, tell func(Report, error)) error {
	updates, failed := make(chan netlink.LinkUpdate, 16), make(chan error, 1)
	options := netlink.LinkSubscribeOptions{ErrorCallback: func(err error) {
		select {
		case failed <- err:
		default:
		}
	}}
	if err := netlink.LinkSubscribeWithOptions(updates, ctx.Done(), options); err != nil {
		return fmt.Errorf("interface %s: %w", l.Name, err)
	}
	defer func() {
		go func() { // the library's goroutine must not be stuck in a send when it is told to end
			for range updates {
			}
		}()
	}()
	last := l.look()
	tell(Report{}, last)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("interface %s: %w", l.Name, err)
		case _, ok := <-updates:
			if !ok {
				return fmt.Errorf("interface %s: the kernel tells no more", l.Name)
			}
		}
		if now := l.look(); fmt.Sprint(now) != fmt.Sprint(last) {
			tell(Report{}, now)
			last = now
		}
	}
}
