package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/sample"
)

func BenchmarkRead(b *testing.B) {
	src := []byte(sample.VirtualServers(1000))
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, diags := config.Read("f", src); diags.Err() != nil {
			b.Fatal(diags.Err())
		}
	}
}

func BenchmarkParse(b *testing.B) {
	src := []byte(sample.VirtualServers(1000))
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, diags := config.Parse("f", src); diags != nil {
			b.Fatal(diags)
		}
	}
}

// BenchmarkReread reads a file again, with a Cache, after nothing, one weight, or a weight in every tenth virtual server has
// changed.
func BenchmarkReread(b *testing.B) {
	for _, services := range []int{2000, 10_000} {
		for _, c := range []struct {
			name  string
			every int
		}{{"none", 0}, {"one", services}, {"tenth", 10}, {"all", 1}} {
			b.Run(fmt.Sprintf("services=%d/changed=%s", services, c.name), func(b *testing.B) {
				l := config.Loader{Cache: new(config.Cache)}
				texts := [2]string{sample.VirtualServers(services)}
				blocks := strings.Split(texts[0], "virtual_server ")
				for i := 1; c.every > 0 && i < len(blocks); i += c.every {
					blocks[i] = strings.Replace(blocks[i], "weight 1", "weight 2", 1)
				}
				texts[1] = strings.Join(blocks, "virtual_server ")
				l.Read("f", []byte(texts[0]))
				b.ReportAllocs()
				for n := 1; b.Loop(); n++ {
					if _, diags := l.Read("f", []byte(texts[n%2])); diags.Err() != nil {
						b.Fatal(diags.Err())
					}
				}
			})
		}
	}
}
