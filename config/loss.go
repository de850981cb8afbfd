package config

import "strings"

// loss is what a file loses by a keyword that has no effect here.
type loss struct {
	severity    Severity
	consequence string
}

// losses are the keywords without which an instance or service is not what its author means; by name, as they mean the same
// in every block. What is not listed costs convenience only.
var losses = map[string]loss{
	"unicast_peer":    {Error, ": adverts would go to all by multicast"},
	"mcast_dst_ip":    {Error, ": adverts would go to the standard group"},
	"auth_hmac":       {Error, ": adverts would go unsigned"},
	"use_vmac":        {Warning, ": the interface's own MAC address is used, and announced on failover"},
	"use_ipvlan":      {Warning, ": the interface's own addresses are used"},
	"vrrp_sync_group": {Warning, ": its instances fail over one by one"},
	"virtual_routes":  {Warning, ": the routes are not set"},
	"virtual_rules":   {Warning, ": the rules are not set"},
	"static_routes":   {Warning, ": the routes are not set"},
	"static_rules":    {Warning, ": the rules are not set"},

	"static_ipaddress":           {Warning, ": the addresses are not set"},
	"virtual_ipaddress_excluded": {Warning, ": the addresses are not set"},

	"no_accept":          {Warning, ": traffic to the virtual addresses is accepted"},
	"persistence_engine": {Warning, ": persistence is by client address"},
	"ha_suspend":         {Warning, ": checks run whoever holds the address"},
	"down_timer_adverts": {Warning, ": a master is down after 3 adverts"},
}

func loses(k *Keyword) loss {
	if l, ok := losses[k.Name]; ok {
		return l
	}
	switch {
	case strings.HasPrefix(k.Name, "notify") || k.Name == "quorum_up" || k.Name == "quorum_down":
		return loss{Warning, ": nothing is run or written"}
	case strings.HasPrefix(k.Name, "track_"):
		return loss{Warning, ": it cannot move an instance"}
	}
	return loss{Note, ""}
}
