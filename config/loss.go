package config

import "strings"

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
	return "no effect: " + l.consequence
}

// losses are the keywords without which an instance or service is not what its author means; by name, as they mean the same
// in every block. What is not listed costs convenience only.
var losses = map[string]loss{
	"skip_check_adv_addr":      {Note, "the address list is always compared; a difference is told, and rejects nothing", "", false},
	"vrrp_skip_check_adv_addr": {Note, "the address list is always compared; a difference is told, and rejects nothing", "", false},
	"dynamic_interfaces":       {Note, "interfaces may always come and go", "", false},

	"vrrp_iptables":           {Note, "traffic is refused by a table of nftables, which iptables -L does not show", "say nftables, and look with nft list table inet keepalived", false},
	"vrrp_ipsets":             {Note, "the addresses are in sets of nftables, vips, vips6 and vips_link_local", "say nftables", false},
	"nftables_ipvs":           {Warning, "each address of a group is an entry of its own, and persistence is within one", "use a fwmark service and a rule that sets the mark", false},
	"vrrp_rx_bufs_multiplier": {Note, "buffers have room for a burst of all instances", "use kernel_rx_buf_size", false},
	"debug":                   {Note, "keepalived does nothing by it either", "", false},
}

func loses(k *Keyword) loss {
	if l, ok := losses[k.Name]; ok {
		return l
	}
	if why := keepalivedOnly(k.Name); why != "" {
		return loss{severity: Note, consequence: why}
	}
	switch {
	case k.Block == "virtual_server/real_server/HTTP_GET":
		return loss{Note, "an HTTP_GET has no TLS", "use SSL_GET", false}
	case k.Block == "virtual_server/real_server/PING_CHECK":
		return loss{Note, "a ping has no ports", "", false}
	case k.Block == "SSL" && k.Name == "ca":
		return loss{Note, "keepalived verifies nothing by it", "write tls_verify and tls_ca into the SSL_GET", false}
	case k.Block == "SSL":
		return loss{Warning, "an encrypted key cannot be read", "decrypt the key", true}
	}
	return loss{severity: Note}
}

// reasons are why keywords have nothing to do here, by a part of their names.
var reasons = []struct{ part, why string }{
	{"child_wait_time", "there are no children to wait for"},
	{"use_pid_dir", "files of process ids are where --pid says"},
	{"data_use_instance", "dumps have the names that the file gives them"},
	{"instance", "directors of one host are told apart by their files and sockets"},
	{"_file_location", "keepalived does not know it either"},
	{"notify_deleted", "keepalived does not take it in a sync group either"},
	{"hashed", "keepalived does nothing by it either"},
	{"nftables_ipvs_", "each address of a group is an entry of its own"},
	{"umask", "it is given by the service manager (UMask= of systemd)"},
	{"regex_stack", "there is no stack to size"},
	{"_rlimit_rt", "its threads stop by themselves: the kernel leaves others 5 % (sched_rt_runtime_us), and LimitRTTIME= of systemd limits more"},
	{"_rt_priority", "there is one process, which vrrp_rt_priority is for"},
	{"_cpu_affinity", "there is one process, which vrrp_cpu_affinity is for"},
	{"_no_swap", "there is one process, which vrrp_no_swap is for"},
	{"process_name", "there is one process, and it is called as it was started"},
	{"_rcv_bufs", "buffers of netlink need no size: what is lost is read anew"},
	{"dbus", "there is no D-Bus: the control socket and the event stream tell the same"},
	{"snmp", "there is no SNMP: /metrics of --status has the same"},
	{"enable_traps", "there is no SNMP: webhooks and the event stream tell the same"},
	{"namespace_with_ipsets", "nftables is what filters, in every namespace"},
	{"iproute_", "tables, scopes and protocols are read where iproute2 has them"},
	{"tmp_config_directory", "no copy of the configuration is handed to anybody"},
	{"config_save_dir", "no copies of configurations are kept"},
	{"random_seed", "nothing depends on it"},
	{"include_check", "a missing include is always told"},
	{"checker_priority", "there is one process, which vrrp_priority is for"},
	{"bfd_priority", "there is one process, which vrrp_priority is for"},
}

// keepalivedOnly is why a keyword is about something that only keepalived has.
func keepalivedOnly(name string) string {
	for _, r := range reasons {
		if strings.Contains(name, r.part) {
			return r.why
		}
	}
	return ""
}
