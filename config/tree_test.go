package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// TestTreesAreWrittenAsTheirFiles: what is written of a tree is what is made of its text.
func TestTreesAreWrittenAsTheirFiles(t *testing.T) {
	files, _ := filepath.Glob("testdata/corpus/*.conf")
	written := 0
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := config.Format(name, src)
		if err != nil {
			continue // it is not formatted at all
		}
		tree, diags := config.Parse(name, src)
		if has(diags, "byte-order-mark") || has(diags, "web-punctuation") {
			continue // the tree has what was meant, and Format leaves what is written
		}
		if got := tree.Format(); string(got) != string(want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
		written++
	}
	if written < 100 {
		t.Errorf("only %d files", written)
	}
}

// TestTreesCanBeEdited: comments and empty lines stay, what is changed is written anew.
func TestTreesCanBeEdited(t *testing.T) {
	const before = `# the shop
virtual_server 192.0.2.1 80 { # of Monday
  delay_loop   6

  # the first
  real_server 192.0.2.2 80 {
    weight 3 # half
    TCP_CHECK { }
  } # end
}
`
	const after = `# the shop
virtual_server 192.0.2.1 80 { # of Monday
    delay_loop 10
    virtualhost "a b"

    # the first
    real_server 192.0.2.2 80 {
        weight 3 # half
        HTTP_GET {
            url {
                path /
            }
        }
    } # end
}
`
	tree, diags := config.Parse("k.conf", []byte(before))
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	words := func(text string) (list []config.Word) {
		for _, w := range strings.Split(text, "|") {
			list = append(list, config.Word{Text: w})
		}
		return list
	}
	shop := tree.Nodes[1]
	for i, n := range shop.Block {
		switch n.Keyword() {
		case "delay_loop":
			n.Words[1].Text = "10"
			host := &config.Node{Words: words("virtualhost|a b")}
			shop.Block = append(shop.Block[:i+1:i+1], append([]*config.Node{host}, shop.Block[i+1:]...)...)
		case "real_server":
			for _, check := range n.Block {
				if check.Keyword() == "TCP_CHECK" {
					check.Words[0].Text = "HTTP_GET"
					path := &config.Node{Words: words("path|/")}
					check.Block = []*config.Node{{Words: words("url"), HasBlock: true, Block: []*config.Node{path}}}
				}
			}
		}
	}
	if got := string(tree.Format()); got != after {
		t.Errorf("%s\nwant:\n%s", got, after)
	}
}
