//go:build !linux

// Command incident tells an outage with real parts; they need Linux.
package main

import "log"

func main() { log.Fatal("incident: its lab is made of Linux network namespaces") }
