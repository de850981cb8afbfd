package holdfast

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/mail"
)

type (
	letter struct {
		mail.Message
		server mail.Server
	}
	post struct {
		to   Webhook
		body []byte
	}
)

// mailEvent writes a mail, unless the object's last one said the same. What the host program publishes is no state that could
// still be so: each time is told.
func (n *notifier) mailEvent(m told) {
	spec := n.now.Mail
	says := func(match Match) bool { return match.matches(m.Kind, m.Object, m.state) }
	if spec == nil || !slices.ContainsFunc(spec.About, says) || slices.ContainsFunc(spec.Except, says) {
		return
	}
	key := subject{m.Kind, m.Object}
	if ownKinds[m.Kind] {
		if n.mailed[key] == m.state {
			return
		}
		n.mailed[key] = m.state
	}
	host := n.now.host()
	l := letter{server: spec.server(), Message: mail.Message{
		From: spec.From, To: spec.To, Date: m.Time, Subject: fmt.Sprintf("[%s] %s is %s", host, m.title(), m.state), Body: m.body(host),
	}}
	l.server.Dial = n.dial
	n.mails.Add(spec.Server, l)
}

func (n *Notify) host() string {
	if n.Host != "" {
		return n.Host
	}
	name, err := os.Hostname()
	if err != nil {
		return "this host"
	}
	return name
}

// title is the event's object, for a person.
func (m *told) title() string {
	switch m.Kind {
	case EventInstance, EventRival, EventPriority:
		return "VRRP instance " + m.Object
	case EventGroup:
		return "VRRP group " + m.Object
	case EventServer:
		i := strings.LastIndexByte(m.Object, ' ')
		return fmt.Sprintf("server %s of %s", m.Object[i+1:], m.Object[:max(i, 0)])
	}
	return string(m.Kind) + " " + m.Object
}

// body says what happened, why, and how long it took to see it.
func (m *told) body(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s is %s", m.title(), host, m.state)
	if m.From != "" {
		fmt.Fprintf(&b, ", and was %s", m.From)
	}
	fmt.Fprintf(&b, ".\n\nWhen:   %s\n", m.Time.Format("Mon 2006-01-02 15:04:05.000 MST"))
	if m.Reason != "" {
		fmt.Fprintf(&b, "Why:    %s\n", m.Reason)
	}
	if m.Took > 0 {
		fmt.Fprintf(&b, "Seen:   after %v at most\n", m.Took.Round(time.Millisecond))
	}
	if m.Priority > 0 {
		fmt.Fprintf(&b, "With:   priority %d\n", m.Priority)
	}
	fmt.Fprintf(&b, "Event:  number %d of this run\n", m.Seq)
	return b.String()
}

func (n *notifier) sendLetter(ctx context.Context, l letter) error {
	return insist(ctx, hopelessAfter, mail.Permanent, func() error { return l.server.Send(ctx, l.Message) })
}

// insist tries again, ever more seldom, until it works, there is no hope, or ctx ends.
func insist(ctx context.Context, until time.Duration, hopeless func(error) bool, try func() error) error {
	begin, pause := time.Now(), time.Second
	for {
		err := try()
		if err == nil || hopeless(err) || time.Since(begin)+pause > until {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(4*pause, 5*time.Minute)
	}
}

// postEvent writes an event to the webhooks that are about it.
func (n *notifier) postEvent(e Event) {
	var body []byte
	for _, w := range n.now.Webhooks {
		says := func(m Match) bool { return m.matches(e.Kind, e.Object, e.To) }
		if len(w.About) > 0 && !slices.ContainsFunc(w.About, says) {
			continue
		}
		if body == nil {
			body, _ = json.Marshal(hookEvent{e, n.now.host()})
		}
		n.posts.Add(w.URL, post{w, body})
	}
}

// hookEvent is the body of a post: the event, and who tells it.
type hookEvent struct {
	Event
	Host string `json:"host"`
}

// statusError is the answer of a webhook that did not take an event.
type statusError int

func (s statusError) Error() string {
	return fmt.Sprintf("answered %d %s", int(s), http.StatusText(int(s)))
}

func (n *notifier) sendPost(ctx context.Context, p post) error {
	hopeless := func(err error) bool {
		s, is := err.(statusError)
		return is && s < 500 && s != 408 && s != 429
	}
	return insist(ctx, time.Minute, hopeless, func() error { return n.tryPost(ctx, p) })
}

func (n *notifier) tryPost(ctx context.Context, p post) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.to.Timeout, 10*time.Second))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.to.URL, bytes.NewReader(p.body))
	if err != nil {
		return err
	}
	request.Header = p.to.Header.Clone()
	if request.Header == nil {
		request.Header = make(http.Header)
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{
		Transport:     &http.Transport{DialContext: n.dial, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment, TLSClientConfig: p.to.TLS},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // what is posted would not go along
	}
	answer, err := client.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err // the address may be a secret
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, 4096)
	if answer.StatusCode/100 != 2 {
		return statusError(answer.StatusCode)
	}
	return nil
}
