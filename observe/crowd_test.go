package observe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns: a client has at most half of the turns, waits for more, and leaves nothing behind; another gets one at once.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(4)
		take := func(client string) (done func(), after time.Duration, ok bool) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			done, ok = turns.take(ctx, client)
			return done, time.Since(begin), ok
		}
		var done []func()
		for _, want := range []string{"a 0s true", "a 0s true", "a 1s false", "b 0s true", "b 0s true", "b 1s false", "c 1s false"} {
			client, _, _ := strings.Cut(want, " ")
			end, after, ok := take(client)
			if got := fmt.Sprint(client, " ", after, " ", ok); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if ok {
				done = append(done, end)
			}
		}
		go func() { time.Sleep(time.Second / 2); done[0]() }()
		end, after, ok := take("c")
		if !ok || after != time.Second/2 {
			t.Errorf("when one is free: %v after %v", ok, after)
		}
		for _, one := range append(done[1:], end) {
			one()
		}
		if len(turns.of) > 0 || len(turns.all) > 0 {
			t.Errorf("left behind: %v, %d", turns.of, len(turns.all))
		}
	})
}

// TestCrowd: a host that opens connections without end, and asks ever so slowly, loses its own; others are answered at once, and
// keep what they have.
func TestCrowd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	}()
	dial := func(from string) net.Conn {
		t.Helper()
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 4 * time.Second}).Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	ask := func(conn net.Conn) {
		t.Helper()
		if err := conn.SetDeadline(time.Now().Add(4 * time.Second)); err != nil { // sooner than anybody of the crowd is late
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET /here HTTP/1.1\r\nHost: a\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "/here" {
			t.Errorf("answer %q, %v", body, err)
		}
	}
	kept := dial("127.0.0.3")
	ask(kept)
	var crowd []net.Conn
	for range 2 * maxConnections {
		conn := dial("127.0.0.1")
		fmt.Fprint(conn, "GET /here HTTP/1.1\r\nX-Slow: ")
		crowd = append(crowd, conn)
	}
	ask(dial("127.0.0.2"))
	ask(kept)
	open := 0
	for _, conn := range crowd {
		if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil && strings.Contains(err.Error(), "timeout") {
			open++
		}
	}
	if open > maxConnections-2 {
		t.Errorf("%d of the crowd are still there", open)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
