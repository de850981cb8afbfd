// Package integration tests director against the real thing: keepalived as a VRRP peer on one link, and a kernel with ip_vs.
// It holds tests only.
package integration
