package config

// loss is what a file loses by a keyword that has no effect here.
type loss struct {
	severity    Severity
	consequence string
	hint        string
	// vital says that without it the configuration must not run: what would run is something else.
	vital bool
}

func (l loss) code() string {
	if l.vital {
		return "not-held"
	}
	return "no-effect"
}

func (l loss) reason() string {
	if l.consequence != "" {
		return "no effect yet" + l.consequence
	}
	return "no effect yet"
}

// losses are the keywords without which an instance or service is not what its author means; by name, as they mean the same
// in every block. What is not listed costs convenience only.
var losses = map[string]loss{
	"use_ipvlan": {Warning, ": the addresses go onto the interface itself, whose MAC address an ipvlan has too", "use_vmac gives the address a MAC address of its own", false},

	"skip_check_adv_addr":      {Note, ": the address list is always compared; a difference is told, and rejects nothing", "", false},
	"vrrp_skip_check_adv_addr": {Note, ": the address list is always compared; a difference is told, and rejects nothing", "", false},
	"log_unknown_vrids":        {Note, ": adverts for other VRIDs are dropped in the kernel", "", false},
	"dynamic_interfaces":       {Note, ": interfaces may always come and go", "", false},

	"nftables_ifindex": {Note, ": addresses are matched whatever the interface", "", false},
	"vrrp_iptables":    {Note, ": traffic is refused by nftables", "use nftables", false},
	"vrrp_ipsets":      {Note, ": traffic is refused by nftables", "use nftables", false},
	"nftables_ipvs":    {Warning, ": each address of a group is an entry of its own, and persistence is within one", "use a fwmark service and a rule that sets the mark", false},
	"ha_suspend":       {Warning, ": checks run whoever holds the address", "", false},
}

func loses(k *Keyword) loss {
	if l, ok := losses[k.Name]; ok {
		return l
	}
	switch {
	case k.Name == "regex_stack":
		return loss{Note, ": there is no stack to size", "", false}
	case k.Block == "SSL" && k.Name == "ca":
		return loss{Note, ": keepalived verifies nothing by it", "write tls_verify and tls_ca into the SSL_GET", false}
	case k.Block == "SSL":
		return loss{Warning, ": an encrypted key cannot be read", "decrypt the key", true}
	}
	return loss{severity: Note}
}
