package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestFormat(t *testing.T) {
	const in = `
! head


global_defs { router_id   "a  b" }  # tail
vrrp_instance A
{
interface eth0   # why

  @main   priority 5
$X=one \
   two \
three
   ~SEQ(N,1,3) foo ${N} { bar }
 virtual_ipaddress{ 10.0.0.1
 10.0.0.2 }
notify   'a   b'

}
@a vrrp_instance B {
@b vrrp_instance C {
interface eth1
}
`
	const want = `! head

global_defs {
    router_id "a  b"
} # tail
vrrp_instance A {
    interface eth0 # why

    @main   priority 5
    $X=one \
   two \
three
    ~SEQ(N,1,3) foo ${N} { bar }
    virtual_ipaddress {
        10.0.0.1
        10.0.0.2
    }
    notify   'a   b'
}
@a vrrp_instance B {
@b vrrp_instance C {
    interface eth1
}
`
	once, err := config.Format("f", []byte(strings.Replace(in, "@b vrrp_instance C {\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if string(once) != strings.Replace(want, "@b vrrp_instance C {\n", "", 1) {
		t.Errorf("got:\n%s", once)
	}
	twice, err := config.Format("f", once)
	if err != nil || string(twice) != string(once) {
		t.Errorf("again: %v\n%s", err, twice)
	}
}

func TestFormatRefusesWhatIsBroken(t *testing.T) {
	for _, src := range []string{"a {", "}", `a "b`} {
		if out, err := config.Format("f", []byte(src)); err == nil {
			t.Errorf("%q: %q", src, out)
		}
	}
}

// FuzzFormat: formatting is idempotent and keeps the meaning; what cannot be formatted is an error.
func FuzzFormat(f *testing.F) {
	files, _ := filepath.Glob("testdata/corpus/*.conf")
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Add("a{b}c { d\n} # e\n\n\nf 'x  y' \"a  b\"\n")
	f.Fuzz(func(t *testing.T, src string) {
		once, err := config.Format("f", []byte(src))
		if err != nil {
			return
		}
		twice, err := config.Format("f", once)
		if err != nil || string(twice) != string(once) {
			t.Errorf("not idempotent (%v): %q, then %q, then %q", err, src, once, twice)
		}
	})
}
