package main

import (
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
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte("net_namespace")) && !bytes.Contains(text, []byte("include")) {
		return "", ""
	}
	cfg, _, err := loader.Load(file)
	if err != nil {
		return "", ""
	}
	return cfg.NetNamespace, cfg.NetNamespaceIPVS
}

// namespacePath is the file of a named namespace, empty for none.
func namespacePath(name string) string {
	if name == "" {
		return ""
	}
	return filepath.Join(namedNamespaces, name)
}
