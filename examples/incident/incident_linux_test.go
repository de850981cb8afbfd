package main

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m, "github.com/holdfast-lb/holdfast/examples/director") }

// TestKernelTCPCheckCannotSeeIt: the sick nginx stays in the table, clients get errors, and the configuration was warned of.
func TestKernelTCPCheckCannotSeeIt(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "nginx", "ipvsadm")
	o := tell(t.Context(), t, tcpCheck)
	if o.out {
		t.Errorf("the server left the table after %v: this is not the outage", o.took)
	}
	if o.after.By["status 502"] == 0 {
		t.Errorf("clients saw no errors: %v", o.after)
	}
	if !strings.Contains(o.note, "note: a TCP check sees only that port 80 answers") {
		t.Errorf("director check says: %q", o.note)
	}
}

// TestKernelHTTPGetTakesItOut: within the time that the configuration's own numbers promise, and back after recovery.
func TestKernelHTTPGetTakesItOut(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "nginx", "ipvsadm")
	o := tell(t.Context(), t, httpCheck)
	if !o.out || o.took > o.allowed {
		t.Errorf("out of the table: %v, after %v; %v are promised", o.out, o.took, o.allowed)
	}
	if o.after.By["status 502"] > 0 || o.after.Failed > o.after.OK/8 || o.after.OK < 10 {
		t.Errorf("once it was out: %v", o.after)
	}
	if !o.back {
		t.Error("it did not come back with its application")
	}
	if o.note != "" {
		t.Errorf("director check says: %q", o.note)
	}
}
