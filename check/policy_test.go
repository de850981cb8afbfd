package check_test

import (
	"testing"

	"github.com/holdfast-lb/holdfast/check"
)

// TestPolicySaysWhichFieldIsWrong, all of them.
func TestPolicySaysWhichFieldIsWrong(t *testing.T) {
	err := check.Policy{Rise: -1, Timeout: -5, Warmup: -1, Retry: 2, Fall: 3}.Validate()
	want := "check: policy: Timeout is -5ns, and must not be negative\n" +
		"check: policy: Rise is -1, and must not be negative\n" +
		"check: policy: Retry 2 and Fall 3 say the same, set one of them"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if err := (check.Policy{Warmup: -1, DelayBeforeRetry: -1}).Validate(); err != nil {
		t.Error(err)
	}
}
