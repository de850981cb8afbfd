// Package soak is one long test: two directors with 200 services live through whatever goes wrong in a data centre, one fault
// after the other, by chance.
package soak
