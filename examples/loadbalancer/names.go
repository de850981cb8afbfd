package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
)

// name is a server that is given by name: each address that the name stands for is a real server.
type name struct {
	host string
	port uint16
}

// parseName takes what is no address.
func parseName(text string) (name, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return name{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return name{}, fmt.Errorf("%s is not host:port", text)
	}
	return name{host, uint16(n)}, nil
}

// follow keeps the servers of a service to what the names stand for, until ctx ends. While no name server answers, all stays as it
// was; a name that is not there any more has no servers.
func follow(ctx context.Context, c *holdfast.Controller, service holdfast.Service, health string, names []name, r *check.Resolver) {
	var all sync.WaitGroup
	for _, n := range names {
		all.Go(func() {
			have := map[netip.AddrPort]bool{}
			r.Follow(ctx, n.host, func(a check.Answer, err error) {
				if err != nil {
					slog.Warn("name", "error", err)
				}
				have = n.change(ctx, c, service.String(), health, have, a.Addrs)
			})
		})
	}
	all.Wait()
}

// change takes servers in and out. To be gentle with those that go, Drain them first.
func (n name) change(ctx context.Context, c *holdfast.Controller, service, health string, have map[netip.AddrPort]bool, addrs []netip.Addr) map[netip.AddrPort]bool {
	now := map[netip.AddrPort]bool{}
	for _, a := range addrs {
		addr := netip.AddrPortFrom(a, n.port)
		now[addr] = true
		if have[addr] {
			continue
		}
		slog.Info("name", "name", n.host, "comes", addr)
		if err := c.SetServer(ctx, service, server(addr, health)); err != nil {
			slog.Warn("name", "name", n.host, "error", err)
			delete(now, addr)
		}
	}
	for addr := range have {
		if now[addr] {
			continue
		}
		slog.Info("name", "name", n.host, "goes", addr)
		if err := c.RemoveServer(ctx, holdfast.ServerKey{Service: service, Addr: addr}); err != nil {
			slog.Warn("name", "name", n.host, "error", err)
		}
	}
	return now
}
