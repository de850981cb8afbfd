package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
)

// ledgerOf is where a run of the file remembers what it owns in the kernel's table, for the next one after a crash: a name for
// each file and network namespace, where a reboot clears it. Empty where there are no namespaces.
func ledgerOf(file string) string {
	ns, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(path))
	return fmt.Sprintf("/run/holdfast/ipvs-%s-%08x", strings.Trim(strings.TrimPrefix(ns, "net:"), "[]"), h.Sum32())
}
