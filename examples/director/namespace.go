package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"

	"github.com/holdfast-lb/holdfast/config"
)

// namespaceVar says which namespace this process was started anew in.
const namespaceVar = "HOLDFAST_NET_NAMESPACE"

// namedNamespaces is where ip netns keeps them.
const namedNamespaces = "/run/netns"

// namespacesOf are the network namespaces that a file names for the process and for its table. A file that cannot be read names
// none: reading it again tells what is wrong.
func namespacesOf(loader config.Loader, file string) (process, table string) {
	if !mayName(file) {
		return "", ""
	}
	cfg, _, err := loader.Load(file)
	if err != nil {
		return "", ""
	}
	return cfg.NetNamespace, cfg.NetNamespaceIPVS
}

// mayName says whether a file may name a namespace. It does not keep the file in memory: most are large and do not.
func mayName(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte("net_namespace")) || bytes.Contains(lines.Bytes(), []byte("include")) {
			return true
		}
	}
	return lines.Err() != nil // a line that is too long for a look
}

// firstVar is where the process has the namespace that it was started in, if it was started anew since.
const firstVar = "HOLDFAST_FIRST_NAMESPACE"

// namespacePath is the file of a namespace, empty for the one of the process.
func namespacePath(name string) string {
	switch name {
	case "":
		return ""
	case config.FirstNamespace:
		return os.Getenv(firstVar)
	}
	return filepath.Join(namedNamespaces, name)
}
