package whip

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Names and passwords are those of coturn's manual: the base64 of the HMAC-SHA1 of the name under the shared secret.
func TestRelayLinks(t *testing.T) {
	now := time.Unix(1433895918-int64(relayLife/time.Second), 0)
	for _, c := range []struct {
		relays Relays
		want   []string
	}{
		{Relays{}, []string{}},
		{Relays{URLs: []string{"turn:a.test", "turns:a.test:443?transport=tcp"}, Secret: []byte("north"), Username: "none"}, []string{
			`<turn:a.test>; rel="ice-server"; username="1433895918:ada"; credential="KJ5PTMBeGkZIwdEVUss3BPdY8wE="; credential-type="password"`,
			`<turns:a.test:443?transport=tcp>; rel="ice-server"; username="1433895918:ada"; credential="KJ5PTMBeGkZIwdEVUss3BPdY8wE="; credential-type="password"`,
		}},
		{Relays{URLs: []string{"turn:a.test"}, Username: "all", Password: `p"w\`}, []string{
			`<turn:a.test>; rel="ice-server"; username="all"; credential="p\"w\\"; credential-type="password"`,
		}},
	} {
		if got := c.relays.Links("ada", now); !slices.Equal(got, c.want) {
			t.Errorf("links\n%q, want\n%q", got, c.want)
		}
	}
}

// Who has opened a session is told of relays, with a name of their own; who was refused is not.
func TestRelaysAreTold(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Relays = Relays{URLs: []string{"turn:a.test"}, Secret: []byte("north")} })
	said := b.do("POST", "/v1/rooms/k3v9q7m2x4ab/whep", "v=0", ada, sdp).Header()
	if links := said.Values("Link"); len(links) != 1 || !strings.HasPrefix(links[0], `<turn:a.test>; rel="ice-server"; username="`) || !strings.Contains(links[0], `:ada"; credential="`) {
		t.Errorf("told %q", links)
	}
	if !strings.Contains(said.Get("Access-Control-Expose-Headers"), "Link") {
		t.Error("a page does not see it")
	}
	b.err = ErrBusy
	if links := b.do("POST", "/v1/rooms/k3v9q7m2x4ab/whep", "v=0", ada, sdp).Header().Values("Link"); len(links) > 0 {
		t.Errorf("somebody who was refused is told %q", links)
	}
}
