package config

// httpPorts are those where HTTP is spoken, or a proxy in front of it.
var httpPorts = map[uint16]bool{80: true, 81: true, 443: true, 591: true, 3000: true, 5000: true, 8000: true, 8008: true, 8080: true, 8081: true, 8088: true, 8443: true, 8888: true, 9000: true}

// Lint looks for what is allowed and yet brings services down.
func Lint(c *Config) Diagnostics {
	var diags Diagnostics
	for _, v := range c.VirtualServers {
		for _, r := range v.RealServers {
			lintChecks(&diags, v, r)
		}
	}
	return diags.sorted()
}

// lintChecks knows the outage in which a proxy answered on its port while the application behind it was gone.
func lintChecks(diags *Diagnostics, v *VirtualServer, r *RealServer) {
	if len(r.Checks) == 0 {
		diags.add(r.Pos, Warning, "no-check", "add a check, such as HTTP_GET { url { path / status_code 200 } }",
			"real_server %v has no check: it gets its share of the clients even when it is dead", r.Addr)
		return
	}
	for _, c := range r.Checks {
		if c.Kind != "TCP_CHECK" {
			return
		}
	}
	for _, c := range r.Checks {
		if httpPorts[c.Addr.Port()] || httpPorts[v.Addr.Port()] {
			diags.add(c.Pos, Note, "tcp-check-http", "use HTTP_GET { url { path / status_code 200 } }",
				"a TCP check sees only that port %d answers: when the application behind it is gone and the web server or proxy still listens, clients get errors and the server stays in", c.Addr.Port())
		}
	}
}
