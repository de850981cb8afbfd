//go:build unix && !linux

package script

// awaitExit cannot wait without reaping here.
func awaitExit(int) bool { return false }
