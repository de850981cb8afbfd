package scene

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// Stream is a client that asks a url again and again.
type Stream struct {
	mu      sync.Mutex // guards answers
	answers []answer
}

type answer struct {
	at   time.Time
	took time.Duration
	body string // empty for an error
	err  string
}

// Stream begins to ask from a host, each time with a new connection, until ctx or the scene ends.
func (s *Scene) Stream(ctx context.Context, h *lab.Host, url string, every, timeout time.Duration) *Stream {
	st := &Stream{}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	c := client(h, timeout)
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			st.ask(ctx, c, url)
			Pause(ctx, every)
		}
	}()
	s.T.Cleanup(func() { cancel(); <-ended })
	return st
}

func (st *Stream) ask(ctx context.Context, c *http.Client, url string) {
	a := answer{at: time.Now()}
	a.body, a.err = get(ctx, c, url)
	a.took = time.Since(a.at)
	if ctx.Err() != nil {
		return
	}
	st.mu.Lock()
	st.answers = append(st.answers, a)
	st.mu.Unlock()
}

func get(ctx context.Context, c *http.Client, url string) (body, failure string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err.Error()
	}
	r, err := c.Do(req)
	if err != nil {
		return "", "no answer"
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return "", fmt.Sprint("status ", r.StatusCode)
	}
	return strings.TrimSpace(string(text)), ""
}

// Report is what a client saw from one moment on.
type Report struct {
	OK, Failed int
	// Gap is the longest time from one good answer to the next.
	Gap time.Duration
	// By counts good answers by who gave them, and failures by their kind.
	By map[string]int
}

// Since reports what was asked after the given time.
func (st *Stream) Since(from time.Time) Report {
	st.mu.Lock()
	defer st.mu.Unlock()
	r := Report{By: make(map[string]int)}
	last := from
	for _, a := range st.answers {
		if a.at.Before(from) {
			continue
		}
		if a.err != "" {
			r.Failed++
			r.By[a.err]++
			continue
		}
		r.OK++
		r.By[a.body]++
		r.Gap = max(r.Gap, a.at.Add(a.took).Sub(last))
		last = a.at.Add(a.took)
	}
	return r
}

// String is "120 good, 3 failed (no answer 3, web1 60, web2 60)".
func (r Report) String() string {
	var parts []string
	for who, n := range r.By {
		parts = append(parts, fmt.Sprint(who, " ", n))
	}
	sort.Strings(parts)
	return fmt.Sprintf("%d good, %d failed (%s)", r.OK, r.Failed, strings.Join(parts, ", "))
}
