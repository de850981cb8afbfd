package observe_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/observe"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// still is a Controller that stands still.
type still struct {
	*holdfast.Controller
	status holdfast.Status
}

func (s *still) Status() holdfast.Status { return s.status }

// TestEveryVRRPCounter: a counter that the vrrp package gets is a metric too.
func TestEveryVRRPCounter(t *testing.T) {
	in := vrrp.InstanceStatus{Instance: vrrp.Instance{Name: "web"}, Conflicts: map[string]uint64{"two masters": 7777}}
	stats := reflect.ValueOf(&in.Stats).Elem()
	for i := range stats.NumField() {
		stats.Field(i).SetUint(uint64(1000 + i))
	}
	o := observe.New(&still{holdfast.New(holdfast.Options{}), holdfast.Status{Instances: []vrrp.InstanceStatus{in}}}, observe.Options{})
	text := get(o.Handler(), "/metrics", "").Body.String()
	for i := range stats.NumField() {
		name := stats.Type().Field(i).Name
		if name == "BecomeMaster" {
			continue // the transitions count it
		}
		if want := fmt.Sprintf("} %d", 1000+i); !strings.Contains(text, want+"\n") {
			t.Errorf("%s (%s) is no metric", name, want)
		}
	}
	if !strings.Contains(text, `holdfast_vrrp_conflicts_total{kind="two masters",vrrp_instance="web"} 7777`) {
		t.Error("conflicts are no metric")
	}
}

func TestBFDMetrics(t *testing.T) {
	s := holdfast.Status{Sessions: []bfd.Status{{Session: bfd.Session{Name: "peer"}, Alive: true, Detection: 50 * time.Millisecond}}}
	o := observe.New(&still{holdfast.New(holdfast.Options{}), s}, observe.Options{})
	want := `
# HELP holdfast_bfd_session_detection_time_seconds After how much silence the neighbour counts as gone.
# TYPE holdfast_bfd_session_detection_time_seconds gauge
holdfast_bfd_session_detection_time_seconds{session="peer"} 0.05
# HELP holdfast_bfd_session_up 1 when the path to the neighbour is alive.
# TYPE holdfast_bfd_session_up gauge
holdfast_bfd_session_up{session="peer"} 1
`
	if err := testutil.CollectAndCompare(o, strings.NewReader(want), metricNames(want)...); err != nil {
		t.Error(err)
	}
}
