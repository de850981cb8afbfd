package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// Lag is a checker: a database replica is well while it is not too far behind. The replica tells by HTTP how many seconds that
// is.
type Lag struct {
	URL  string
	Most time.Duration
}

// Check implements check.Checker. That is all it takes.
func (l Lag) Check(ctx context.Context) error {
	_, err := l.Report(ctx)
	return err
}

// Report implements check.Reporter, for those who want more: a replica that is behind gets less of the load.
func (l Lag) Report(ctx context.Context) (check.Report, error) {
	behind, err := l.ask(ctx)
	if err != nil {
		return check.Report{}, err
	}
	if behind > l.Most {
		return check.Report{}, fmt.Errorf("%v behind, at most %v are well", behind, l.Most)
	}
	return check.Report{
		Weight: check.Percent(100 - int(100*behind/max(l.Most, 1))),
		Detail: behind.String() + " behind",
	}, nil
}

func (l Lag) ask(ctx context.Context) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.URL, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 100))
	if err != nil {
		return 0, err
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return 0, fmt.Errorf("%s answers %q, which is no number of seconds", l.URL, text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// client makes a connection for each check: one that is kept would not show that the server takes no new ones.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
