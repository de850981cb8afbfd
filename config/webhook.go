package config

import (
	"net/url"
	"strings"
	"time"
)

// Webhook is a webhook: an address that events are posted to. keepalived does not have it.
type Webhook struct {
	Pos
	Name string
	// URL is where, or URLFile the file that says so: some addresses are secrets.
	URL, URLFile string
	// HeaderFile has headers, a line of "Name: value" each. Empty means none.
	HeaderFile string
	// Events are kinds of events, with the state entered or an empty one for every state. None means all events.
	Events []WebhookEvent
	// Timeout bounds one try. 0 means 10 s.
	Timeout time.Duration
	// CA is a file of the authorities to trust. Empty means the host's.
	CA string

	end Pos
}

// WebhookEvent is a kind of events and the state that is entered.
type WebhookEvent struct{ Kind, To string }

var webhookKeywords = map[string]setter[Webhook]{
	"url":         text(func(w *Webhook) *string { return &w.URL }),
	"url_file":    text(func(w *Webhook) *string { return &w.URLFile }),
	"header_file": text(func(w *Webhook) *string { return &w.HeaderFile }),
	"tls_ca":      text(func(w *Webhook) *string { return &w.CA }),
	"timeout":     timer(func(w *Webhook) *time.Duration { return &w.Timeout }),
	"events": func(d *decoder, n *Node, w *Webhook) {
		for _, word := range n.Values() {
			kind, to, _ := strings.Cut(word.Text, ":")
			if _, ok := d.oneOf(Word{word.Pos, kind, word.Quoted}, eventKinds); ok {
				w.Events = append(w.Events, WebhookEvent{kind, to})
			}
		}
	},
}

// eventKinds are those of package holdfast; a test there holds them to it.
var eventKinds = []string{
	"instance", "group", "priority", "rival", "conflict", "server", "service", "tracker", "weight", "repair", "apply", "override", "reload", "error",
}

func decodeWebhook(d *decoder, n *Node, c *Config) {
	w := &Webhook{Pos: n.Pos, Name: n.Words[1].Text, end: n.End}
	decodeBlock(d, n.block(), n.Block, w, webhookKeywords)
	c.Webhooks = append(c.Webhooks, w)
}

// validateWebhooks finds what no single statement shows.
func (d *decoder) validateWebhooks() {
	names := make(map[string]bool)
	for _, w := range d.cfg.Webhooks {
		if names[w.Name] {
			d.errorf(w.Pos, "duplicate-name", "rename one", "there is another webhook %s", quoted(w.Name))
		}
		names[w.Name] = true
		switch u, err := url.Parse(w.URL); {
		case (w.URL == "") == (w.URLFile == ""):
			d.errorf(w.end, "missing-keyword", "add url URL, or url_file FILE", "webhook %s needs one address", quoted(w.Name))
		case w.URL == "":
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			d.errorf(w.Pos, "bad-value", "", "webhook %s: its url must begin with http:// or https://", quoted(w.Name))
		case u.Scheme == "http" && w.HeaderFile != "":
			d.warnf(w.Pos, "header-in-clear", "write https://", "webhook %s: what header_file has goes over the network in clear text", quoted(w.Name))
		case u.User != nil:
			d.errorf(w.Pos, "password-in-file", "write it into a file and name it with url_file", "webhook %s has a password in its url", quoted(w.Name))
		}
	}
}

// resolveMail gives the server the port that goes with its security, and finds passwords that would go in the clear.
func (d *decoder) resolveMail() {
	m := &d.cfg.Global.Mail
	if m.Security == "" && (m.User != "" || m.CA != "") { // who has a secret wants to know to whom it goes
		m.Security = "starttls"
		if m.Port == implicitTLS {
			m.Security = "tls"
		}
	}
	if m.Port == 0 {
		m.Port = map[string]int{"tls": implicitTLS, "starttls": 587}[m.Security]
	}
	if m.Port == 0 {
		m.Port = 25
	}
	switch {
	case (m.User == "") != (m.PasswordFile == ""):
		d.errorf(d.cfg.Global.Pos, "missing-keyword", "write smtp_user NAME and smtp_password_file FILE", "mail: a user and a password go together")
	case m.User != "" && m.Security == "none":
		d.errorf(d.cfg.Global.Pos, "password-in-clear", "remove smtp_security none", "mail: the password would go over the network in clear text")
	}
}

// implicitTLS is the port on which mail servers expect TLS from the first byte (RFC 8314).
const implicitTLS = 465

// mailGlobals are keywords of global_defs about mail that keepalived does not have.
func mailGlobals() map[string]setter[Global] {
	return map[string]setter[Global]{
		"smtp_security":      text(func(g *Global) *string { return &g.Mail.Security }),
		"smtp_user":          text(func(g *Global) *string { return &g.Mail.User }),
		"smtp_password_file": text(func(g *Global) *string { return &g.Mail.PasswordFile }),
		"smtp_tls_ca":        text(func(g *Global) *string { return &g.Mail.CA }),
	}
}
