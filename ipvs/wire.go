package ipvs

import (
	"encoding/binary"
	"fmt"
	"io"
)

// This file is generic netlink as far as IPVS needs it: messages in a buffer, attributes in a message, and both read back
// without trust in lengths (include/uapi/linux/netlink.h, genetlink.h).
//
//	0       4    6     8     12    16    17    18        20
//	| length | type | flags | seq | port | cmd | version | 0 | attributes, each padded to 4 bytes
//	         family                      '--- generic netlink header
//
//	attribute: | length 2 | type 2 | value |    integers in the machine's order, unless they are addresses or ports

const (
	headerLen     = 16
	genericLen    = 4
	attributeLen  = 4
	attributeMask = 1<<14 - 1 // without NLA_F_NESTED and NLA_F_NET_BYTEORDER

	msgNoop  = 1
	msgError = 2
	msgDone  = 3
	msgFirst = 16 // the first type that is a family

	flagRequest     = 0x1
	flagAck         = 0x4
	flagInterrupted = 0x10
	flagDump        = 0x300
	flagCapped      = 0x100 // an answer without the body of what it answers
	flagTLVs        = 0x200 // an answer with attributes behind that

	tlvMessage = 1
)

var native = binary.NativeEndian

func beginMessage(b []byte, family, flags uint16, seq uint32, cmd command) (msg []byte, start int) {
	start = len(b)
	b = native.AppendUint32(b, 0)
	b = native.AppendUint16(b, family)
	b = native.AppendUint16(b, flags)
	b = native.AppendUint32(b, seq)
	b = native.AppendUint32(b, 0)
	return append(b, byte(cmd), 1, 0, 0), start
}

func endMessage(b []byte, start int) []byte {
	native.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func beginNest(b []byte, typ uint16) (msg []byte, start int) {
	return appendAttribute(b, typ, nil), len(b)
}

func endNest(b []byte, start int) []byte {
	native.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

func appendAttribute(b []byte, typ uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(attributeLen+len(value)))
	b = native.AppendUint16(b, typ)
	b = append(b, value...)
	return append(b, make([]byte, padding(len(value)))...)
}

func padding(n int) int { return -n & 3 }

func append8(b []byte, typ uint16, v uint8) []byte { return appendAttribute(b, typ, []byte{v}) }

func append16(b []byte, typ uint16, v uint16) []byte {
	var value [2]byte
	native.PutUint16(value[:], v)
	return appendAttribute(b, typ, value[:])
}

func append32(b []byte, typ uint16, v uint32) []byte {
	var value [4]byte
	native.PutUint32(value[:], v)
	return appendAttribute(b, typ, value[:])
}

// appendPort has network order.
func appendPort(b []byte, typ uint16, port uint16) []byte {
	return appendAttribute(b, typ, []byte{byte(port >> 8), byte(port)})
}

func appendString(b []byte, typ uint16, s string) []byte {
	b, start := beginNest(b, typ)
	b = append(append(b, s...), 0)
	b = endNest(b, start)
	return append(b, make([]byte, padding(len(s)+1))...)
}

// answer is one message of the kernel.
type answer struct {
	typ, flags uint16
	seq        uint32
	body       []byte // behind the netlink header
}

// nextAnswer takes the first message off b.
func nextAnswer(b []byte) (a answer, rest []byte, err error) {
	if len(b) < headerLen {
		return answer{}, nil, fmt.Errorf("netlink message: %w", io.ErrUnexpectedEOF)
	}
	n := native.Uint32(b)
	if n < headerLen || uint64(n) > uint64(len(b)) {
		return answer{}, nil, fmt.Errorf("netlink message of %d bytes where there are %d: %w", n, len(b), io.ErrUnexpectedEOF)
	}
	a = answer{typ: native.Uint16(b[4:]), flags: native.Uint16(b[6:]), seq: native.Uint32(b[8:]), body: b[headerLen:n]}
	return a, b[min(len(b), int(n)+padding(int(n))):], nil
}

// errno is the verdict of an error message or of the end of a dump, as a positive number, with what the kernel says to it.
func (a *answer) errno() (number int, message string, err error) {
	if len(a.body) < 4 {
		if a.typ == msgDone {
			return 0, "", nil
		}
		return 0, "", fmt.Errorf("netlink verdict: %w", io.ErrUnexpectedEOF)
	}
	number = -int(int32(native.Uint32(a.body)))
	if a.typ != msgError || a.flags&flagTLVs == 0 || len(a.body) < 4+headerLen {
		return number, "", nil
	}
	skip := headerLen
	if n := native.Uint32(a.body[4:]); a.flags&flagCapped == 0 && n > headerLen {
		skip = int(min((uint64(n)+3)&^3, uint64(len(a.body))))
	}
	r := reader{b: a.body[min(4+skip, len(a.body)):]}
	for r.next() {
		if r.typ == tlvMessage {
			message = r.text()
		}
	}
	return number, message, nil
}

// attributes are those of a generic netlink message.
func (a *answer) attributes() reader {
	if len(a.body) < genericLen {
		return reader{err: fmt.Errorf("generic netlink header: %w", io.ErrUnexpectedEOF)}
	}
	return reader{b: a.body[genericLen:]}
}

// reader walks over attributes. The first thing wrong ends the walk and is kept.
type reader struct {
	b     []byte
	typ   uint16
	value []byte
	err   error
}

func (r *reader) next() bool {
	if r.err != nil || len(r.b) < attributeLen {
		if r.err == nil && len(r.b) > 0 {
			r.err = fmt.Errorf("netlink attribute: %w", io.ErrUnexpectedEOF)
		}
		return false
	}
	n := int(native.Uint16(r.b))
	if n < attributeLen || n > len(r.b) {
		r.err = fmt.Errorf("netlink attribute of %d bytes where there are %d: %w", n, len(r.b), io.ErrUnexpectedEOF)
		return false
	}
	r.typ, r.value = native.Uint16(r.b[2:])&attributeMask, r.b[attributeLen:n]
	r.b = r.b[min(len(r.b), n+padding(n)):]
	return true
}

// has says whether the value has n bytes at least, and keeps it as an error if not.
func (r *reader) has(n int) bool {
	if len(r.value) >= n {
		return true
	}
	if r.err == nil {
		r.err = fmt.Errorf("netlink attribute %d: %d bytes, %d are needed: %w", r.typ, len(r.value), n, io.ErrUnexpectedEOF)
	}
	return false
}

func (r *reader) u8() uint8 {
	if !r.has(1) {
		return 0
	}
	return r.value[0]
}

func (r *reader) u16() uint16 {
	if !r.has(2) {
		return 0
	}
	return native.Uint16(r.value)
}

func (r *reader) u32() uint32 {
	if !r.has(4) {
		return 0
	}
	return native.Uint32(r.value)
}

// u32or64 is a counter, whose width the length tells.
func (r *reader) u32or64() uint64 {
	if len(r.value) >= 8 {
		return native.Uint64(r.value)
	}
	return uint64(r.u32())
}

func (r *reader) port() uint16 {
	if !r.has(2) {
		return 0
	}
	return binary.BigEndian.Uint16(r.value)
}

// text ends at the first 0.
func (r *reader) text() string {
	for i, c := range r.value {
		if c == 0 {
			return string(r.value[:i])
		}
	}
	return string(r.value)
}

func (r *reader) nested() reader { return reader{b: r.value} }
