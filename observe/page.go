package observe

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"net/http"
	"strings"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// servePage sends one file that needs no other. It runs no script and loads nothing but its own, whatever a name in the
// configuration contains.
func (o *Observer) servePage(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "+
		"style-src 'sha256-"+digest(pageCSS)+"'; script-src 'sha256-"+digest(pageJS)+"'")
	_, _ = strings.NewReplacer(
		"{{style}}", pageCSS, "{{script}}", pageJS, "{{name}}", html.EscapeString(o.options.Name), "{{version}}", html.EscapeString(o.options.Version),
	).WriteString(w, pageHTML)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}
