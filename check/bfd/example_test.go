package bfd_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/check/bfd"
)

// A program that tells within 150 ms when the path to a neighbour is gone.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	speaker := bfd.NewSpeaker(bfd.Options{OnTransition: func(t bfd.Transition) { fmt.Println(t) }})
	err := speaker.Set([]bfd.Session{{
		Name: "gateway", Local: netip.MustParseAddr("192.0.2.1"), Peer: netip.MustParseAddr("192.0.2.254"),
		MinTx: 50 * time.Millisecond, MinRx: 50 * time.Millisecond, Multiplier: 3,
	}})
	if err == nil {
		err = speaker.Run(ctx) // until ctx ends; the neighbour is then told that we left on purpose
	}
	if err != nil {
		log.Fatal(err)
	}
}
