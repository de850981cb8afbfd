package ipvs

import (
	"fmt"
	"net/netip"
)

// MaxRange is how many addresses a [Range] may have.
const MaxRange = 1 << 16

// Range lists the services of a range of addresses, both ends included, as an entry of a virtual_server_group means them. It
// carries across octets and words. A range of mixed families, one that ends before it begins, and one of more than
// [MaxRange] addresses is an error.
func Range(protocol Protocol, first, last netip.Addr, port uint16) ([]ServiceKey, error) {
	if !first.IsValid() || first.BitLen() != last.BitLen() || last.Less(first) {
		return nil, fmt.Errorf("ipvs: range %v-%v: it needs two addresses of one family, the lower one first", first, last)
	}
	var keys []ServiceKey
	for a := first; ; a = a.Next() {
		if len(keys) == MaxRange {
			return nil, fmt.Errorf("ipvs: range %v-%v has more than %d addresses: use a firewall mark for so many", first, last, MaxRange)
		}
		keys = append(keys, ServiceKey{Protocol: protocol, Addr: netip.AddrPortFrom(a, port)})
		if a == last {
			return keys, nil
		}
	}
}
