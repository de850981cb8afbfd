package holdfast_test

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-lb/holdfast"
)

// Who is told of what: a program, a pipe, people by mail, a chat by webhook.
func ExampleNotify() {
	notify := holdfast.Notify{
		Hooks: []holdfast.Hook{{
			Match:   holdfast.Match{Kind: holdfast.EventInstance, Object: "web", To: "MASTER"},
			Program: holdfast.Program{Args: []string{"/usr/local/libexec/claim", "web"}, User: "nobody", Timeout: 10 * time.Second},
		}},
		FIFOs: []holdfast.FIFO{{Path: "/run/holdfast/events", Instances: true, Services: true}},
		Mail: &holdfast.Mail{
			Server: "mail.example.org:465", Security: "tls", User: "lb1", Password: os.Getenv("MAIL_PASSWORD"),
			From: "lb1@example.org", To: []string{"ops@example.org"},
			About: []holdfast.Match{{Kind: holdfast.EventService}, {Kind: holdfast.EventReload, To: "REFUSED"}},
		},
		Webhooks: []holdfast.Webhook{{
			Name: "chat", URL: "https://hooks.example.org/lb", Header: http.Header{"Authorization": {"Bearer " + os.Getenv("CHAT_TOKEN")}},
			About: []holdfast.Match{{Kind: holdfast.EventInstance}, {Kind: holdfast.EventServer, To: "DOWN"}},
		}},
	}
	spec := holdfast.Spec{Notify: notify}
	fmt.Println(spec.Validate())
	fmt.Print(holdfast.Diff(holdfast.Spec{}, spec))
	// Output:
	// <nil>
	// hook instance web MASTER: /usr/local/libexec/claim web as nobody add
	// fifo /run/holdfast/events add
	// mail by mail.example.org:465 to ops@example.org add
	// webhook chat add
}
