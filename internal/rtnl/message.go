package rtnl

import (
	"encoding/binary"
	"fmt"
)

// Request is one message to the kernel: its type, flags beside REQUEST and ACK, and everything after the netlink header.
type Request struct {
	Type, Flags uint16
	Data        []byte
}

// AppendAttr appends an attribute.
func AppendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return pad(b)
}

// AppendUint32 appends an attribute that is a number in the host's order.
func AppendUint32(b []byte, kind uint16, v uint32) []byte {
	return AppendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, v))
}

// AppendString appends an attribute that is a text with its zero.
func AppendString(b []byte, kind uint16, s string) []byte {
	return AppendAttr(b, kind, append([]byte(s), 0))
}

// AppendNested appends an attribute that holds attributes.
func AppendNested(b []byte, kind uint16, inside []byte) []byte {
	return AppendAttr(b, kind|1<<15, inside)
}

func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Attrs calls f for each attribute in b, which must stand at its beginning.
func Attrs(b []byte, f func(kind uint16, value []byte)) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return fmt.Errorf("attribute of %d bytes in %d", n, len(b))
		}
		f(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}
