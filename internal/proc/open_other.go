//go:build !linux

package proc

func open() source { return newScanner() }
