package config_test

import (
	"fmt"

	"github.com/holdfast-lb/holdfast/config"
)

// A tree can be changed and written again: comments and empty lines stay.
func ExampleFile_Format() {
	tree, _ := config.Parse("keepalived.conf", []byte(`
virtual_server 192.0.2.1 80 {
  real_server 192.0.2.11 80 { # the old one
    TCP_CHECK { connect_timeout 3 }
  }
}
`))
	for _, service := range tree.Nodes {
		for _, server := range service.Block {
			for _, check := range server.Block {
				if check.Keyword() == "TCP_CHECK" {
					check.Words[0].Text = "HTTP_GET"
					check.Block = append(check.Block, braced("url", written("path", "/"), written("status_code", "200")))
				}
			}
		}
	}
	fmt.Printf("%s", tree.Format())
	// Output:
	// virtual_server 192.0.2.1 80 {
	//     real_server 192.0.2.11 80 { # the old one
	//         HTTP_GET {
	//             connect_timeout 3
	//             url {
	//                 path /
	//                 status_code 200
	//             }
	//         }
	//     }
	// }
}

func written(words ...string) *config.Node {
	n := &config.Node{}
	for _, w := range words {
		n.Words = append(n.Words, config.Word{Text: w})
	}
	return n
}

func braced(name string, inside ...*config.Node) *config.Node {
	n := written(name)
	n.HasBlock, n.Block = true, inside
	return n
}
