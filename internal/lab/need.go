package lab

import (
	"os"
	"os/exec"
)

// requireVar turns every skip of the lab into a failure when it is "1".
const requireVar = "HOLDFAST_REQUIRE_LAB"

// T is what the lab needs of a test: [testing.TB] has it, and a program can bring its own.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	Cleanup(func())
}

// Need skips the test when a program is missing, or fails it when HOLDFAST_REQUIRE_LAB=1.
func Need(t T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "%s is not installed: run internal/lab/install.sh", name)
		}
	}
}

// NeedRoot skips the test for want of privilege, or fails it when HOLDFAST_REQUIRE_LAB=1.
func NeedRoot(t T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root")
	}
}

func missing(t T, format string, args ...any) {
	t.Helper()
	if os.Getenv(requireVar) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIPPED, NOT TESTED: "+format, args...)
}

// Missing is for what a test finds out by itself: it skips the test, or fails it when HOLDFAST_REQUIRE_LAB=1.
func Missing(t T, format string, args ...any) {
	t.Helper()
	missing(t, format, args...)
}
