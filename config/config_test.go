package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// wanted reads "# want SEVERITY CODE TEXT" from the lines of a file.
func wanted(t *testing.T, src string) map[int][3]string {
	t.Helper()
	wants := make(map[int][3]string)
	for i, line := range strings.Split(src, "\n") {
		if _, want, ok := strings.Cut(line, "# want "); ok {
			f := strings.SplitN(strings.TrimSpace(want), " ", 3)
			wants[i+1] = [3]string{f[0], f[1], strings.Join(f[2:], "")}
		}
	}
	return wants
}

func TestDiagnosticsStandAtTheirLines(t *testing.T) {
	files, _ := filepath.Glob("testdata/corpus/*.conf")
	if len(files) < 150 {
		t.Fatalf("found only %v", files)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) { checkFile(t, name) })
	}
}

func checkFile(t *testing.T, name string) {
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, diags, err := config.LoadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	wants := wanted(t, string(src))
	found := make(map[int]bool)
	for _, d := range diags {
		w, ok := wants[d.Line]
		if !ok && isRule(d.Code) {
			continue // see TestRules
		}
		if !ok {
			t.Errorf("not expected: %v", d)
			continue
		}
		if d.Severity.String() == w[0] && d.Code == w[1] && strings.Contains(d.String(), w[2]) && d.Column > 0 {
			found[d.Line] = true
		}
	}
	for line, w := range wants {
		if !found[line] {
			t.Errorf("%s:%d: missing: %v", name, line, w)
		}
	}
}

func isRule(code string) bool {
	return slices.ContainsFunc(config.Rules(), func(r config.Rule) bool { return r.Code == code })
}

func TestReadingGoesOnAfterErrors(t *testing.T) {
	cfg, _, err := config.LoadFile("testdata/corpus/wild.conf")
	if err != nil {
		t.Fatal(err)
	}
	v := cfg.Instances[0]
	got := fmt.Sprint(v.Name, v.Interface, v.VRID, v.Priority, v.AdvertInt, v.NoPreempt, v.AuthType, v.AuthPass, v.Addresses[0].Prefix, v.Addresses[1].Prefix)
	want := "inside eth0 50 99 1s true PASS 111111 192.0.2.200/24 192.0.2.201/32"
	if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("instance:\n got %s\nwant %s", got, want)
	}
	s := cfg.VirtualServers[0]
	if s.Scheduler != "rr" || s.Method != "DR" || len(s.RealServers) != 4 {
		t.Fatalf("virtual server: %+v", s)
	}
	if u := s.RealServers[1].Checks[0].URLs; len(u) != 1 || u[0].Path != "/" || u[0].Status[0] != (config.StatusRange{Low: 200, High: 200}) {
		t.Errorf("url: %+v", u)
	}
}

func read(src string) (*config.Config, config.Diagnostics) { return config.Read("f.conf", []byte(src)) }

// TestInheritance holds the order checker, real server, virtual server, default of keepalived.
func TestInheritance(t *testing.T) {
	cfg, diags := read(`
virtual_server 10.0.0.1 80 {
    protocol TCP
    delay_loop 7
    retry 5
    virtualhost www.example.org
    alpha
    real_server 10.0.0.2 8080 {
        retry 4
        HTTP_GET { url { path /a } url { path /b
            virtualhost other.example.org } connect_timeout 2 }
    }
    real_server 10.0.0.3 { TCP_CHECK { retry 3 
        connect_ip 10.0.0.33
        warmup 0 } }
}
virtual_server fwmark 3 {
    lb_kind TUN
    real_server 10.0.0.4 80 { TCP_CHECK { } }
}`)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	one, two := cfg.VirtualServers[0].RealServers[0], cfg.VirtualServers[0].RealServers[1]
	three := cfg.VirtualServers[1].RealServers[0]
	for _, c := range []struct{ name, got, want string }{
		{"address with NAT", one.Addr.String(), "10.0.0.2:8080"},
		{"address without port", two.Addr.String(), "10.0.0.3:80"},
		{"address with a mark and TUN", three.Addr.String(), "10.0.0.4:0"},
		{"HTTP_GET", describe(one.Checks[0]), "10.0.0.2:8080 retry 4 loop 7s delay 3s timeout 2s warmup 7s alpha true /a@www.example.org /b@other.example.org"},
		{"TCP_CHECK", describe(two.Checks[0]), "10.0.0.33:80 retry 3 loop 7s delay 1s timeout 5s warmup 0s alpha true"},
		{"defaults", describe(three.Checks[0]), "10.0.0.4:80 retry 1 loop 1m0s delay 1s timeout 5s warmup 1m0s alpha false"},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
}

func describe(c *config.Check) string {
	s := fmt.Sprintf("%v retry %d loop %v delay %v timeout %v warmup %v alpha %v",
		c.Addr, c.Retry, c.DelayLoop, c.DelayBeforeRetry, c.ConnectTimeout, c.Warmup, c.Alpha)
	for _, u := range c.URLs {
		s += " " + u.Path + "@" + u.VirtualHost
	}
	return s
}

// TestGlobalDefaults: the version reaches instances wherever it stands, announcements only those below.
func TestGlobalDefaults(t *testing.T) {
	cfg, diags := read(`
vrrp_instance A { interface eth0
  virtual_router_id 1
  virtual_ipaddress { 10.0.0.1 } }
vrrp_instance B { interface eth0
  virtual_router_id 2
  state MASTER
  advert_int 0.25
  garp_master_repeat 2
  nopreempt
  virtual_ipaddress { 10.0.0.2 } }
global_defs { vrrp_version 3
  vrrp_garp_master_delay 0
  vrrp_garp_master_repeat 3 }
vrrp_instance C { interface eth0
  virtual_router_id 3
  virtual_ipaddress { 10.0.0.3 } }`)
	if c := cfg.Instances[2]; c.Version != 3 || c.GARPMasterDelay != 0 || c.GARPMasterRepeat != 3 {
		t.Errorf("C: %+v", c)
	}
	a, b := cfg.Instances[0], cfg.Instances[1]
	if a.Version != 3 || a.GARPMasterDelay != 5*time.Second || a.GARPMasterRepeat != 5 || a.Priority != 100 {
		t.Errorf("A: %+v", a)
	}
	if b.GARPMasterRepeat != 2 || b.AdvertInt != 250*time.Millisecond || b.Priority != 255 || b.NoPreempt {
		t.Errorf("B: %+v", b)
	}
	for _, code := range []string{"owner-by-accident", "nopreempt-master"} {
		if !has(diags, code) {
			t.Errorf("%s is not reported: %v", code, diags)
		}
	}
}

func has(diags config.Diagnostics, code string) bool {
	for _, d := range diags {
		if d.Code == code {
			return true
		}
	}
	return false
}

func TestScriptWords(t *testing.T) {
	for text, want := range map[string]string{
		`/bin/a`:                          "/bin/a",
		`"/bin/a b c"`:                    "/bin/a|b|c",
		`"/bin/a 'b c' d"`:                "/bin/a|b c|d",
		`'/bin/a "b c" d'`:                "/bin/a|b c|d",
		`/bin/a b`:                        "/bin/a", // the rest is a user, or dropped
		`"/bin/a b\ c"`:                   "/bin/a|b c",
		`"/bin/a \x41\102\t."`:            "/bin/a|AB\t.",
		`"/bin/sh -c 'kill -0 $(pid) x'"`: "/bin/sh|-c|kill -0 $(pid) x",
	} {
		cfg, diags := read("vrrp_script s {\n script " + text + "\n user nobody :daemon\n}\n")
		if got := strings.Join(cfg.Scripts[0].Args, "|"); got != want {
			t.Errorf("%s: %q, want %q; %v", text, got, want, diags)
		}
		if s := cfg.Scripts[0]; s.User != "nobody" || s.Group != "daemon" || s.Timeout != time.Second || s.Fall != 1 {
			t.Errorf("%+v", s)
		}
	}
}

// TestTCPCheckInFrontOfHTTP is the outage in which nginx listened and the application was gone.
func TestTCPCheckInFrontOfHTTP(t *testing.T) {
	const server = "virtual_server 10.0.0.1 %d {\n protocol TCP\n real_server 10.0.0.2 %d {\n  %s\n }\n}"
	for _, c := range []struct {
		port  int
		check string
		note  bool
	}{
		{80, "TCP_CHECK { }", true},
		{8080, "TCP_CHECK { }", true},
		{5432, "TCP_CHECK { }", false},
		{80, "HTTP_GET { url { path / } }", false},
		{80, "TCP_CHECK { }\n HTTP_GET { url { path / } }", false},
	} {
		_, diags := read(fmt.Sprintf(server, c.port, c.port, c.check))
		if got := has(diags, "tcp-check-http"); got != c.note {
			t.Errorf("port %d, %s: note is %v", c.port, c.check, got)
		}
		if diags.Err() != nil {
			t.Error(diags)
		}
	}
}

func TestFileOfAnFS(t *testing.T) {
	fsys := fstest.MapFS{"k.conf": {Data: []byte("global_defs { router_id a }")}}
	cfg, diags, err := config.Load(fsys, "k.conf")
	if err != nil || diags != nil || cfg.Global.RouterID != "a" {
		t.Errorf("%+v %v %v", cfg, diags, err)
	}
	if _, _, err := config.Load(fsys, "absent.conf"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestUnreadableFile(t *testing.T) {
	huge := filepath.Join(t.TempDir(), "huge.conf")
	if err := os.WriteFile(huge, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<30); err != nil {
		t.Fatal(err)
	}
	executable := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(executable, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"testdata/absent.conf", "testdata", "/dev/null", huge, executable} {
		if cfg, _, err := config.LoadFile(name); err == nil || cfg != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, cfg, err)
		}
	}
}

// TestEveryKeywordIsReachable writes each keyword into its block: none may come out as unknown.
func TestEveryKeywordIsReachable(t *testing.T) {
	effective := 0
	for _, k := range config.Keywords() {
		if k.Kind == "entry" || k.Kind == "absent" {
			continue
		}
		if k.Effective {
			effective++
		}
		_, diags := read(statement(k))
		for _, d := range diags {
			if d.Code == "unknown-keyword" {
				t.Errorf("%s/%s: %v", k.Block, k.Name, d)
			}
		}
	}
	if effective < 60 {
		t.Errorf("%d effective keywords, the story's configuration alone needs more", effective)
	}
}

// statement is a file with nothing but the keyword, in the blocks that it needs.
func statement(k config.Keyword) string {
	open, depth := "", 0
	if k.Block != "" {
		for _, b := range strings.Split(k.Block, "/") {
			open += b + " 10.0.0.1 80 {\n"
			depth++
		}
	}
	line := k.Name + " 10.0.0.1 80"
	if k.Kind != "value" {
		line += " { }"
	}
	return open + line + "\n" + strings.Repeat("}\n", depth)
}

func TestTreeKeepsWhatItRead(t *testing.T) {
	f, diags := config.Parse("f", []byte("# head\nodd \"two words\" \\#3 # tail\nblock x{ y } # after\n"))
	if diags != nil {
		t.Fatal(diags)
	}
	if f.Nodes[0].Comment != "# head" || f.Nodes[0].Keyword() != "" {
		t.Errorf("comment: %+v", f.Nodes[0])
	}
	n := f.Nodes[1]
	if n.Keyword() != "odd" || n.Values()[0].Text != "two words" || !n.Values()[0].Quoted || n.Values()[1].Text != "#3" || n.Comment != "# tail" {
		t.Errorf("statement: %+v", n)
	}
	if p := n.Values()[0].Pos; p != (config.Pos{File: "f", Line: 2, Column: 5}) {
		t.Errorf("position: %v", p)
	}
	if b := f.Nodes[2]; !b.HasBlock || b.Block[0].Keyword() != "y" {
		t.Errorf("block: %+v", b)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/corpus/*.conf")
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, diags := config.Loader{FS: fstest.MapFS{"one": {Data: []byte("global_defs {\n")}}}.Read("f", src)
		for _, d := range diags {
			if d.Line < 1 || d.Column < 1 || d.Code == "" || d.Message == "" {
				t.Errorf("a diagnostic without place or words: %+v", d)
			}
		}
		if diags.Err() == nil {
			checkSound(t, cfg)
		}
	})
}

// checkSound holds what a Config without errors promises.
func checkSound(t *testing.T, cfg *config.Config) {
	for _, v := range cfg.Instances {
		if v.VRID < 1 || v.VRID > 255 || v.Priority < 1 || v.Priority > 255 || v.AdvertInt <= 0 || v.Interface == "" {
			t.Errorf("no error, and yet: %+v", v)
		}
	}
	for _, v := range cfg.VirtualServers {
		for _, r := range v.RealServers {
			if r.Addr.Addr() == (netip.Addr{}) || r.Weight < 0 {
				t.Errorf("no error, and yet: %+v", r)
			}
		}
	}
}
