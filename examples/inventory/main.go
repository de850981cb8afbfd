// Command inventory lists what keepalived.conf files serve: a line for each address, service and server, with the place that
// says so. It is package config alone: for tools that read such files, and run nothing.
//
//	inventory /etc/keepalived/keepalived.conf ...
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/holdfast-lb/holdfast/config"
)

func main() {
	status := 0
	for _, name := range os.Args[1:] {
		cfg, diags, err := config.LoadFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "inventory:", err)
			status = 2
			continue
		}
		if err := diags.Err(); err != nil { // what could be understood is in cfg all the same
			fmt.Fprintln(os.Stderr, err)
			status = max(status, 1)
		}
		list(os.Stdout, cfg)
	}
	os.Exit(status)
}

func list(w io.Writer, cfg *config.Config) {
	for _, v := range cfg.Instances {
		for _, a := range v.Addresses {
			fmt.Fprintf(w, "%v: address %v on %s, priority %d\n", a.Pos, a.Prefix, v.Interface, v.Priority)
		}
	}
	for _, v := range cfg.VirtualServers {
		fmt.Fprintf(w, "%v: service %v %s\n", v.Pos, v, v.Scheduler)
		for _, r := range v.RealServers {
			fmt.Fprintf(w, "%v: server %v weight %d, %d checks\n", r.Pos, r.Addr, r.Weight, len(r.Checks))
		}
	}
}
