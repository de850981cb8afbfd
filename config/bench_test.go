package config_test

import (
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
