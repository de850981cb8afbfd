package holdfast

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPublish: what the host program tells stands among all other events, reaches those who asked for it each time, and is in the
// status until something else is so; nobody can speak for the Controller.
func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, box := newScene(), &mailbox{}
		s.options.Dial = box.dial
		spec := pair()
		spec.Notify.Hooks = []Hook{hook(EventReload, "", "REFUSED", true, "page"), hook("shop", "", "", true, "page")}
		spec.Notify.Mail = &Mail{Server: "mail", Security: "none", From: "a@b", To: []string{"a@b"}, About: []Match{{Kind: EventReload, To: "REFUSED"}}}
		spec.Notify.Host = "lb1"
		s.start(t, spec)
		events := s.c.Subscribe(100)
		tell := func(e Event) {
			t.Helper()
			if err := s.c.Publish(e); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		refused := Event{Kind: EventReload, Object: "k.conf", To: "REFUSED", Reason: "k.conf:1: no", Took: 3 * time.Millisecond, Seq: 99, Missed: 7}
		tell(Event{Kind: EventReload, Object: "k.conf", To: "SCHEDULED", Reason: "at noon"})
		if at := s.c.Status().Scheduled; at == nil || at.Reason != "at noon" || s.c.Status().Reload != nil {
			t.Errorf("what is to come: %+v", at)
		}
		tell(Event{Kind: EventReload, Object: "k.conf", To: "BEGUN"})
		tell(refused)
		tell(refused)
		tell(Event{Kind: "shop", Object: "till", To: "open"})
		if last := s.c.Status().Reload; last == nil || last.To != "REFUSED" || last.Seq == 99 || s.c.Status().Scheduled != nil {
			t.Errorf("what was: %+v", last)
		}
		var told []string
		seq := uint64(0)
		for _, e := range drained(t, events) {
			if e.Missed != 0 || seq != 0 && e.Seq != seq+1 {
				t.Errorf("not in its place: %+v", e)
			}
			if seq = e.Seq; !ownKinds[e.Kind] {
				told = append(told, string(e.Kind)+" "+e.To+" "+e.Reason)
			}
		}
		wantLines(t, "events", told, "reload SCHEDULED at noon", "reload BEGUN ", "reload REFUSED k.conf:1: no", "reload REFUSED k.conf:1: no", "shop open ")
		wantLines(t, "programs", s.programs(), "page RELOAD k.conf REFUSED 0", "page RELOAD k.conf REFUSED 0", "page SHOP till open 0")
		wantLines(t, "mails", box.subjects(), "[lb1] reload k.conf is REFUSED", "[lb1] reload k.conf is REFUSED")

		for _, e := range []Event{{}, {Kind: EventInstance, Object: "A", To: "MASTER"}, {Kind: EventError}, {Kind: EventReload, To: "MAYBE"}} {
			if err := s.c.Publish(e); err == nil || !strings.Contains(err.Error(), "publish") {
				t.Errorf("%+v: %v", e, err)
			}
		}
		s.stop()
		if err := s.c.Publish(refused); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestOwnKinds: no kind that this package tells can be published.
func TestOwnKinds(t *testing.T) {
	text, err := os.ReadFile("event.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`EventKind = "(\w+)"`).FindAllStringSubmatch(string(text), -1)
	for _, m := range kinds {
		if kind := EventKind(m[1]); ownKinds[kind] == (kind == EventReload) {
			t.Errorf("kind %s is the Controller's own: %v", kind, ownKinds[kind])
		}
	}
	if len(kinds) != len(ownKinds)+1 {
		t.Errorf("%d kinds, %d of them own", len(kinds), len(ownKinds))
	}
}

// TestChanged: numbers and words agree.
func TestChanged(t *testing.T) {
	for want, n := range map[string][3]int{
		"nothing changed": {}, "1 instance changed": {1, 0, 0}, "2 services, 1 other part changed": {0, 2, 1}, "2 instances, 1 service, 3 other parts changed": {2, 1, 3},
	} {
		if got := changed(n[0], n[1], n[2]); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
	}
}
