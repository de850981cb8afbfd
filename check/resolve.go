package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Resolver looks names up and keeps each answer for its time to live. The zero value is usable; it must not be copied after
// first use. Its methods may be called from any goroutine: those who ask for one name at once share one question.
//
// Names are complete: search domains and /etc/hosts are not looked at.
type Resolver struct {
	// Servers are the name servers, asked in this order until one answers. Empty means those of /etc/resolv.conf, which is
	// read again for each question.
	Servers []netip.AddrPort
	// Network is "ip4" or "ip6" for addresses of one family. Empty means both: then both questions must be answered.
	Network string
	// MinTTL and MaxTTL are the least and the most that an answer is kept, whatever its time to live. 0 means 1 s and 5 min.
	// What could not be answered is asked again after MinTTL.
	MinTTL, MaxTTL time.Duration
	// MaxStale is how long after its time an answer is still used while no name server has another (RFC 8767). That the name is
	// not there is another. 0 means a day, a negative value none.
	MaxStale time.Duration
	// Timeout bounds a look-up as a whole. 0 means 2 s; it is never more than half of what the context has left.
	Timeout time.Duration
	// Ask asks in place of the name servers, with the answer's time to live: for tests and other directories. That a name is not
	// there is an error that wraps a *net.DNSError with IsNotFound.
	Ask func(ctx context.Context, name string) (addrs []netip.Addr, ttl time.Duration, err error)

	mu    sync.Mutex // guards the field below
	names map[string]*resolved
}

// Answer is what a name stands for.
type Answer struct {
	// Addrs are its addresses, in their order, each once. Do not change them.
	Addrs []netip.Addr
	// Until is when the name will be asked for again.
	Until time.Time
	// Stale is why an answer is used beyond its time: what the last look-up came to. Nil for one that is in its time.
	Stale error
}

// resolved is what is known of a name.
type resolved struct {
	turn   chan struct{} // holds a token while somebody asks; guards the fields below
	answer Answer
	err    error
	ended  time.Time // when the answer's time was over
}

// Lookup gives the addresses of a name. The error is a *net.DNSError, with IsNotFound when the name has none, or that of Ask.
func (r *Resolver) Lookup(ctx context.Context, name string) (Answer, error) {
	e := r.entry(name)
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return Answer{}, lookupError(name, ctx.Err())
	}
	defer func() { <-e.turn }()
	if time.Now().Before(e.answer.Until) {
		return e.answer, e.err
	}
	addrs, ttl, err := r.ask(ctx, name)
	if errors.Is(ctx.Err(), context.Canceled) { // that says nothing of the name
		return Answer{}, lookupError(name, ctx.Err())
	}
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	if err == nil {
		r.keep(e, addrs, ttl)
	} else {
		r.miss(e, err)
	}
	return e.answer, e.err
}

// Follow looks a name up whenever its answer's time is over and tells what it is, first at once and then each time that it
// changes, until ctx ends: for sets of servers that a name stands for. An error, with which there are no addresses, is told in
// the same way.
func (r *Resolver) Follow(ctx context.Context, name string, tell func(Answer, error)) {
	var before string
	for {
		a, err := r.Lookup(ctx, name)
		if ctx.Err() != nil {
			return
		}
		if now := fmt.Sprint(a.Addrs, a.Stale, err); now != before {
			before = now
			tell(a, err)
		}
		timer := time.NewTimer(time.Until(a.Until))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// entry is what is known of a name, or will be. What nobody asked for in a long time goes.
func (r *Resolver) entry(name string) *resolved {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := strings.ToLower(strings.TrimSuffix(name, "."))
	if e := r.names[key]; e != nil {
		return e
	}
	if r.names == nil {
		r.names = make(map[string]*resolved)
	}
	for other, e := range r.names {
		select {
		case e.turn <- struct{}{}:
			if time.Since(e.answer.Until) > r.maxStale() {
				delete(r.names, other)
			}
			<-e.turn
		default: // in use
		}
	}
	e := &resolved{turn: make(chan struct{}, 1)}
	r.names[key] = e
	return e
}

func (r *Resolver) minTTL() time.Duration   { return cmp.Or(r.MinTTL, time.Second) }
func (r *Resolver) maxTTL() time.Duration   { return cmp.Or(r.MaxTTL, 5*time.Minute) }
func (r *Resolver) maxStale() time.Duration { return max(cmp.Or(r.MaxStale, 24*time.Hour), 0) }

// keep takes an answer.
func (r *Resolver) keep(e *resolved, addrs []netip.Addr, ttl time.Duration) {
	addrs = slices.Clone(addrs)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare) // servers turn their order round and round
	e.ended = time.Now().Add(max(min(ttl, r.maxTTL()), r.minTTL()))
	e.answer, e.err = Answer{Addrs: slices.Compact(addrs), Until: e.ended}, nil
}

// miss takes that there is no answer.
func (r *Resolver) miss(e *resolved, err error) {
	now := time.Now()
	next := now.Add(r.minTTL())
	dns, ok := errors.AsType[*net.DNSError](err)
	if ok && dns.IsNotFound || len(e.answer.Addrs) == 0 || now.Sub(e.ended) >= r.maxStale() {
		e.answer, e.err = Answer{Until: next}, err
		return
	}
	e.answer.Until, e.answer.Stale = next, err
}

// ask asks within the time that there is for it.
func (r *Resolver) ask(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	timeout := cmp.Or(r.Timeout, 2*time.Second)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if r.Ask != nil {
		return r.Ask(ctx, name)
	}
	return r.askServers(ctx, name)
}

func lookupError(name string, err error) error {
	return &net.DNSError{UnwrapErr: err, Err: cause(err).Error(), Name: name, IsTimeout: errors.Is(err, context.DeadlineExceeded)}
}

// Named checks a server that is known by a name, wherever the name leads. Use it by pointer: what it knows of the addresses stays
// from one check to the next.
//
// Reports and reasons say which address was asked. While no name server answers the last answer is used, and that is said too;
// without any the check fails, for what is never checked must not pass for well.
type Named struct {
	// Name to look up.
	Name string
	// Resolver to look it up with; those who share one share its answers. Nil means one of its own.
	Resolver *Resolver
	// New makes the checker for an address. It is kept for as long as the name leads there, and closed then, if it has a Close.
	New func(addr netip.Addr) Checker
	// Combine makes one verdict of several addresses. Nil means [Any]: one that is well is enough.
	Combine func(checkers ...Checker) Checker

	own      Resolver
	checkers map[netip.Addr]Checker
}

// Check implements [Checker].
func (n *Named) Check(ctx context.Context) error {
	_, err := n.Report(ctx)
	return err
}

// Report implements [Reporter]. With one address it is the report of its checker.
func (n *Named) Report(ctx context.Context) (Report, error) {
	answer, err := cmp.Or(n.Resolver, &n.own).Lookup(ctx, n.Name)
	if err != nil {
		return Report{}, err
	}
	report, err := ask(ctx, n.checker(answer.Addrs))
	is := n.Name + " is " + strings.Trim(fmt.Sprint(answer.Addrs), "[]")
	if answer.Stale != nil {
		is += fmt.Sprintf(" (no newer answer: %v)", answer.Stale)
	}
	if err != nil {
		return report, fmt.Errorf("%s: %w", is, err)
	}
	report.Detail = strings.TrimSuffix(is+": "+report.Detail, ": ")
	return report, nil
}

// checker asks the servers of the addresses.
func (n *Named) checker(addrs []netip.Addr) Checker {
	before := n.checkers
	n.checkers = make(map[netip.Addr]Checker, len(addrs))
	list := make([]Checker, len(addrs))
	for i, addr := range addrs {
		if list[i] = before[addr]; list[i] == nil {
			list[i] = n.New(addr)
		}
		n.checkers[addr] = list[i]
		delete(before, addr)
	}
	_ = closeCheckers(before)
	switch {
	case len(list) == 1:
		return list[0]
	case n.Combine == nil:
		return Any(list...)
	}
	return n.Combine(list...)
}

// Close closes the checkers that want to be closed.
func (n *Named) Close() error {
	err := closeCheckers(n.checkers)
	n.checkers = nil
	return err
}

func closeCheckers(all map[netip.Addr]Checker) error {
	var errs []error
	for _, c := range all {
		if c, ok := c.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
