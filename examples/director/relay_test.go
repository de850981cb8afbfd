package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/relay"
)

// TestTables: auto takes the kernel's table, or the relay where there is none and says so once; kernel insists.
func TestTables(t *testing.T) {
	client, missing := ipvs.Open(ipvs.ClientOptions{})
	if missing == nil {
		client.Close()
	}
	for mode, wantsRelay := range map[string]bool{"auto": errors.Is(missing, errors.ErrUnsupported), "relay": true, "kernel": false, "none": false} {
		var log bytes.Buffer
		d := &director{options: options{file: "f"}, log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := d.openTable(mode); err != nil {
			t.Fatal(mode, err)
		}
		_, isRelay := d.table.(*relay.Relay)
		d.tellRelay()
		d.tellRelay()
		if told := strings.Count(log.String(), "THE RELAY"); isRelay != wantsRelay || isRelay != (told == 1) {
			t.Errorf("%s: %T, told %d times", mode, d.table, told)
		}
		if mode == "kernel" && (d.table == nil) != (d.tableErr != nil) {
			t.Errorf("kernel: %T, %v", d.table, d.tableErr)
		}
		if (d.ledger != "") != (d.table != nil && !isRelay) {
			t.Errorf("%s: ledger %q", mode, d.ledger)
		}
		if d.table != nil {
			d.table.Close()
		}
	}
}
