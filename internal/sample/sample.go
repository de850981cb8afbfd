// Package sample makes configurations for benchmarks.
package sample

import (
	"fmt"
	"strings"
)

// VirtualServers is a keepalived.conf of so many virtual servers with four real servers and a check each, 42 lines a service.
func VirtualServers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "virtual_server 10.%d.%d.%d 80 {\n    delay_loop 6\n    lb_algo rr\n    lb_kind DR\n    protocol TCP\n", i>>16, i>>8&255, i&255)
		for j := range 4 {
			fmt.Fprintf(&b, "    real_server 11.%d.%d.%d 80 {\n        weight 1\n        TCP_CHECK {\n            connect_timeout 3\n            retry 3\n"+
				"            delay_before_retry 3\n            connect_port 80\n        }\n    }\n", i>>14, i>>6&255, i&63<<2+j)
		}
		b.WriteString("}\n")
	}
	return b.String()
}
