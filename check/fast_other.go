//go:build !linux

package check

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-lb/holdfast/internal/due"
)

// engine is not there on this system: every check has a goroutine.
type engine struct {
	queue  due.Queue[*task]
	wakeAt time.Time
	awake  bool
}

func newEngine(*Monitor) (*engine, error) { return nil, errors.ErrUnsupported }
func fast(Checker) bool                   { return false }

// talk is the engine's.
type talk struct{}

func (*engine) run(context.Context)    {}
func (*engine) wake()                  {}
func (*engine) start(*task, time.Time) {}
func (*engine) drop(*run)              {}
