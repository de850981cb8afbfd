package vrrp

import (
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
)

// writer writes the adverts of one instance.
type writer struct {
	advert  Advertisement
	form    Checksum // to peers, once one of them was heard to use an old form
	auth    *Authenticator
	trailer []byte
}

// configure takes an instance over. Sequences go on.
func (w *writer) configure(in Instance) {
	w.advert = Advertisement{Version: in.version(), VRID: in.VRID, Interval: in.interval(), AuthType: in.AuthType, Checksum: in.Checksum}
	for _, p := range in.Addrs {
		w.advert.Addrs = append(w.advert.Addrs, p.Addr())
	}
	if in.AuthType == AuthPass {
		w.advert.AuthData = in.authData()
	}
	if w.auth == nil {
		w.auth = NewAuthenticator(in)
	}
	w.auth.Reconfigure(in)
	w.form = ChecksumDefault
}

// begin starts a new advert, of which there may be a copy for each peer.
func (w *writer) begin(priority uint8) {
	w.advert.Priority = priority
	w.trailer = w.trailer[:0]
}

// append writes a copy for one destination: the message with its trailer.
func (w *writer) append(b []byte, now time.Time, src, dst netip.Addr) ([]byte, error) {
	a, start := w.advert, len(b)
	if a.Checksum == ChecksumDefault && !dst.IsMulticast() {
		a.Checksum = w.form
	}
	b, err := a.AppendPacket(b, src, dst)
	if err != nil {
		return b, err
	}
	if len(w.trailer) == 0 {
		w.trailer = w.auth.AppendTrailer(w.trailer, now, b[start:], src)
	}
	b = append(b, w.trailer...)
	if src.Is6() && len(w.trailer) > 0 { // as a kernel would sum it; the signature does not cover the sum
		a.putChecksum(b[start:], src, dst)
	}
	return b, nil
}

// appendPacket writes a whole packet: the IP header, which can only be written once the length is known, the Authentication
// Header if there is one, and the advert.
func (w *writer) appendPacket(b []byte, now time.Time, header *ipheader.Header) ([]byte, error) {
	start, size := len(b), ipheader.Size4
	if header.Src.Is6() {
		size = ipheader.Size6
	}
	if header.Protocol == protocolAH {
		size += ahLen
	}
	b = append(b, headroom[:size]...)
	b, err := w.append(b, now, header.Src, header.Dst)
	if err != nil {
		return b[:start], err
	}
	packet := b[start:]
	ip := header.Append(packet[:0], 0)
	header.Append(packet[:0], len(packet)-len(ip))
	if header.Protocol == protocolAH {
		w.auth.sealAH(packet, header.Src, header.Dst.IsMulticast())
	}
	return b, nil
}

// headroom is as long as headers are.
var headroom [ipheader.Size6 + ahLen]byte

// heard notices a peer that sums its adverts as keepalived did before 1.3.6, and goes on in that form: it reads no other.
func (w *writer) heard(form Checksum) {
	if form == ChecksumGroup {
		w.form = form
	}
}

// maxAddrs is how many addresses fit an advert on a link with that MTU, 0 for unknown.
func (in *Instance) maxAddrs(mtu int) int {
	if mtu == 0 {
		return 255
	}
	room, size := mtu-ipv4Len-headerLen, 4
	if in.is6() {
		room, size = mtu-40-headerLen, 16
	}
	if in.version() == 2 && !in.is6() {
		room -= authLen
	}
	if in.AuthType == AuthAH {
		room -= ahLen
	}
	if in.HMAC.signs() {
		room -= trailerLen
	}
	return min(max(room, 0)/size, 255)
}
