// Package check finds out whether servers are well.
//
// # Usage
//
// A [Checker] asks one server once. [TCP], [HTTP] (also with TLS), [SMTP], [DNS], [UDP], [Ping] and [Command] are built in,
// package check/proto has those of further protocols, [All], [Any] and [AtLeast] put several together, and a [Heartbeat] waits to hear;
// your own is one method:
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
// # Testing
//
// A Monitor needs no network: in a testing/synctest bubble its days take moments. Package checktest has scripted checkers
// and a suite that any Checker should pass.
//
// # Concurrency
//
// A Monitor's methods may be called from any goroutine. One goroutine schedules, each running check has one of its own, and
// their number is bounded: a stuck checker delays nobody.
package check
