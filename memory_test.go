package holdfast_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
)

// TestMemoryOfAnyEdits: a file that is read and translated again is what it is when it is read and translated for the first time.
func TestMemoryOfAnyEdits(t *testing.T) {
	shared := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		loader, translator := config.Loader{Cache: new(config.Cache)}, holdfast.Translator{Memory: new(holdfast.Memory)}
		weights := make([]int, 8)
		head := "nobody"
		var before holdfast.Spec
		for range 8 {
			switch i := r.IntN(len(weights)); r.IntN(6) {
			case 0:
				head = [...]string{"nobody", "root", "daemon"}[r.IntN(3)]
			case 1:
				weights = append(weights[i:], weights[:i]...)
			case 2:
				weights = append(weights[:i:i], append([]int{r.IntN(4)}, weights[i:]...)...)
			default:
				weights[i] = r.IntN(5)
			}
			text := edited(head, weights)
			cfg, diags := loader.Read("k.conf", []byte(text))
			if err := diags.Err(); err != nil {
				t.Fatal(err)
			}
			got, err := translator.Spec(cfg)
			if err != nil {
				t.Fatal(err)
			}
			anew, _ := config.Read("k.conf", []byte(text))
			want, err := holdfast.FromConfig(anew)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: with a memory another Spec comes out of\n%s", seed, text)
			}
			shared += inCommon(&before, &got)
			before = got
		}
	}
	if shared < 500 {
		t.Errorf("only %d services were taken as they were", shared)
	}
}

// edited is a file with virtual servers of those weights, of all kinds in turns.
func edited(user string, weights []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n script_user %s\n}\nvirtual_server_group G {\n 10.5.0.0-7 80\n}\n", user)
	for i, w := range weights {
		head := fmt.Sprintf("10.0.0.%d 80", i)
		if i == 3 {
			head = "group G"
		}
		check := [...]string{"TCP_CHECK {\n }", "MISC_CHECK {\n misc_path /bin/true\n }", "HTTP_GET {\n url {\n path /\n }\n }", "SSL_GET {\n url {\n path /\n }\n }"}[(i+w)%4]
		fmt.Fprintf(&b, "virtual_server %s {\n protocol TCP\n real_server 10.1.0.%d 80 {\n weight %d\n %s\n }\n}\n", head, i, w, check)
	}
	return b.String()
}

func inCommon(a, b *holdfast.Spec) (n int) {
	for i := range min(len(a.Services), len(b.Services)) {
		if &a.Services[i].Servers[0] == &b.Services[i].Servers[0] {
			n++
		}
	}
	return n
}
