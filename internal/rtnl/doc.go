// Package rtnl speaks rtnetlink where it matters how: many changes in one system call, each with its own verdict, and a
// mirror of links and addresses that follows the kernel's events and reads everything anew when some were lost.
package rtnl
