package api

import (
	"net/http/httptest"
	"testing"

	"rotunda"
	"rotunda/control"
	"rotunda/control/people"
)

// A decision that is made while the log is away reaches the person with its reason before the state that shows it; others see
// the state alone. When it has come into the log, the record has the reason too.
func TestReasonsWithoutTheLog(t *testing.T) {
	for _, c := range []struct{ what, method, path, body, is string }{
		{"mute", "POST", "/participants/bob/mute", `{"reason":"Shouting."}`, "muted"},
		{"deny", "POST", "/requests/bob/deny", `{"reason":"Shouting."}`, "denied"},
		{"remove", "DELETE", "/participants/bob", `{"reason":"Shouting."}`, "removed"},
		{"ban", "DELETE", "/participants/bob", `{"reason":"Shouting.","ban":true}`, "removed"},
	} {
		t.Run(c.what, func(t *testing.T) {
			log := new(faultyLog)
			n := newNodeOf(t, control.Config{Log: people.Rooms(log), Node: "n1", Outage: &control.Outage{
				Dir: t.TempDir(), Spread: func([]byte) error { return nil },
				Seal: func(b []byte) ([]byte, error) { return b, nil },
				Open: func(b []byte) (rotunda.NodeID, []byte, error) { return "n1", b, nil },
			}}, log, nil)
			ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
			room := n.room(ada)
			n.want(200, "POST", room+"/requests", bob, "")
			if c.what != "deny" {
				n.want(200, "POST", room+"/requests/bob/approve", ada, "")
				n.want(200, "DELETE", room+"/participants/bob/mute", bob, "")
			}
			served := httptest.NewServer(n.handler)
			defer served.Close()
			bobs, stopBob := followAs(t, served.URL, room, bob)
			defer stopBob()
			eves, stopEve := followAs(t, served.URL, room, eve)
			defer stopEve()
			for _, next := range []func() (sent, error){bobs, eves} {
				if e, err := next(); e.event != "snapshot" {
					t.Fatalf("first comes %+v, %v", e, err)
				}
			}
			log.away.Store(true)
			n.want(200, c.method, room+c.path, ada, c.body)
			why, err := bobs()
			if err != nil || why.event != "reason" || why.id != "" || at(why.data, "type") != c.is || at(why.data, "reason") != "Shouting." || at(why.data, "user") != "bob" || at(why.data, "by") != "ada" {
				t.Errorf("bob is told %+v, %v", why, err)
			}
			for who, next := range map[string]func() (sent, error){"bob": bobs, "eve": eves} {
				if e, err := next(); e.event != "snapshot" {
					t.Errorf("%s is sent %+v, %v", who, e, err)
				}
			}
		})
	}
}
