//go:build !linux

// Command demo shows Holdfast at work; its lab needs Linux.
package main

import "log"

func main() { log.Fatal("demo: its lab is made of Linux network namespaces") }
