package check

import (
	"bytes"
	"net/netip"
	"testing"
)

// verdictOf gives an answer to the engine's reader in pieces of the given sizes, in turn, and then ends the connection.
func verdictOf(said []byte, sizes ...int) (t *talk, err error) {
	h := &HTTP{Target: Target{Addr: netip.MustParseAddrPort("192.0.2.1:80")}, URLs: []URL{{}}}
	t = &talk{http: h, request: h.first(&h.URLs[0])}
	for i := 0; len(said) > 0; i++ {
		n := min(max(sizes[i%len(sizes)], 1), len(said))
		if done, err := t.take(bytes.Clone(said[:n])); done || err != nil {
			return t, err
		}
		said = said[n:]
	}
	return t, t.ended()
}

// FuzzEngineAnswers: what a server might say is judged alike in whatever pieces it comes, and not kept.
func FuzzEngineAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), 1, 7)
	f.Add([]byte("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabcd"), 3, 40)
	f.Add([]byte("HTTP/1.1 101 Switching\r\n\r\n"), 26, 1)
	f.Add([]byte("HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\n"), 2, 2)
	f.Fuzz(func(t *testing.T, said []byte, one, two int) {
		whole, want := verdictOf(said, len(said))
		pieces, got := verdictOf(said, one, two)
		if whole.body.chunked || pieces.body.chunked { // the end is looked for where a piece ends
			return
		}
		if (want == nil) != (got == nil) || whole.status != pieces.status {
			t.Errorf("in one piece %q, %v; in several %q, %v", whole.status, want, pieces.status, got)
		}
		if len(pieces.in) > maxHeader+max(one, two, 1) {
			t.Errorf("%d bytes are kept", len(pieces.in))
		}
	})
}
