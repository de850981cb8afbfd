// Command checker watches database replicas with a checker of its own: checker SECONDS URL...
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: checker SECONDS URL...")
		os.Exit(2)
	}
	most, err := time.ParseDuration(os.Args[1] + "s")
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err = run(ctx, most, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "checker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, most time.Duration, urls []string) error {
	monitor := check.NewMonitor(check.Options{OnTransition: func(t check.Transition) { fmt.Println(t) }})
	if err := monitor.Set(probes(most, urls)); err != nil {
		return err
	}
	return monitor.Run(ctx)
}

// probes asks each replica every two seconds; down is who is behind three times in a row.
func probes(most time.Duration, urls []string) (list []check.Probe) {
	for _, u := range urls {
		list = append(list, check.Probe{
			ID: u, Checker: Lag{URL: u, Most: most}, Policy: check.Policy{DelayLoop: 2 * time.Second, Fall: 3, Timeout: time.Second},
		})
	}
	return list
}
