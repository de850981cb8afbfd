// Package check finds out whether servers are well.
//
// # Usage
//
// A [Checker] asks one server once. [TCP], [HTTP] (also with TLS), [SMTP], [DNS], [UDP], [Ping] and [Command] are built in,
// package check/proto has those of further protocols, [All], [Any] and [AtLeast] put several together, a [Heartbeat] waits to hear, and a
// [Named] checks a server that is known by name, which a [Resolver] looks up again when its answer's time is over; your own is one method:
//
//	queue := check.CheckerFunc(func(ctx context.Context) error {
//		if n := backlog.Load(); n > 1000 {
//			return fmt.Errorf("%d messages wait, at most 1000 are well", n)
//		}
//		return nil
//	})
//
// A [Probe] is a Checker with a [Policy]: how often, how patient. A [Monitor] runs any number of probes and tells when one
// changes its mind:
//
//	m := check.NewMonitor(check.Options{OnTransition: func(t check.Transition) { log.Println(t) }})
//	err := m.Set([]check.Probe{{ID: "queue", Checker: queue, Policy: check.Policy{DelayLoop: time.Second, Retry: 2}}})
//	err = m.Run(ctx)
//
// A Checker may do more than answer: a [Reporter] tells a weight and what it saw, a [Watcher] ([File], [Process], [Link]) tells by
// itself when something changes, and one with Close is closed in the end.
//
// # Many probes
//
// Probes that ask the same under the same policy share one check, whose verdict all of them hear. Starts are spread over the
// warm-up. At most [Options].MaxConcurrent checks run at once, and fewer while the process is out of descriptors: the others
// wait, so that intervals stretch; [Stats] counts it and the log says it once. A check that ignores the end of its context
// counts as failed and gives its place up; one that panics takes out its server only.
//
// # Errors
//
// An error of a Check speaks against the server, unless it wraps [ErrInconclusive]: then nothing is known, and nothing changes.
//
// # Testing
//
// A Monitor needs no network: in a testing/synctest bubble its days take moments. Package checktest has scripted checkers, a
// Monitor in a bubble, and a suite that any Checker should pass.
//
// # Concurrency
//
// A Monitor's methods may be called from any goroutine. One goroutine schedules and each running check has one of its own; on
// Linux, plain TCP and HTTP checks need none: one goroutine makes them all.
package check
