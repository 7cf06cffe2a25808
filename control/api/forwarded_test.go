package api

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"rotunda/control/eventlog"
)

// Whatever a caller writes into the headers, behind trusted proxies nobody is counted as an address of their choice, and without them the headers
// mean nothing.
func TestBehind(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:ffff::/48"), netip.MustParsePrefix("192.0.2.9/32")}
	const proxy, x, f = "10.0.0.1:4711", "X-Forwarded-For", "Forwarded"
	for name, c := range map[string]struct {
		peer   string
		header http.Header
		want   string
	}{
		"no header":                              {proxy, nil, "10.0.0.1"},
		"one proxy":                              {proxy, http.Header{x: {"203.0.113.5"}}, "203.0.113.5"},
		"two proxies":                            {proxy, http.Header{x: {"203.0.113.5, 192.0.2.9"}}, "203.0.113.5"},
		"in two lines":                           {proxy, http.Header{x: {"203.0.113.5", "192.0.2.9"}}, "203.0.113.5"},
		"the caller names another":               {proxy, http.Header{x: {"198.51.100.7, 203.0.113.5"}}, "203.0.113.5"},
		"the caller names a proxy":               {proxy, http.Header{x: {"10.9.9.9, 203.0.113.5"}}, "203.0.113.5"},
		"the caller names another in its line":   {proxy, http.Header{x: {"198.51.100.7", "203.0.113.5"}}, "203.0.113.5"},
		"not from a proxy":                       {"203.0.113.5:80", http.Header{x: {"198.51.100.7"}, f: {"for=198.51.100.7"}}, "203.0.113.5"},
		"not from a proxy that the header names": {"203.0.113.5:80", http.Header{x: {"10.0.0.1"}}, "203.0.113.5"},
		"the proxies' own network":               {proxy, http.Header{x: {"10.1.1.1, 10.2.2.2"}}, "10.1.1.1"},
		"a port":                                 {proxy, http.Header{x: {"203.0.113.5:5555"}}, "203.0.113.5"},
		"IPv6":                                   {"[2001:db8:ffff::1]:443", http.Header{x: {"2001:db8::7"}}, "2001:db8::7"},
		"IPv6 in brackets":                       {proxy, http.Header{x: {"[2001:db8::7]:443"}}, "2001:db8::7"},
		"IPv4 in IPv6":                           {"[::ffff:10.0.0.1]:443", http.Header{x: {"::ffff:203.0.113.5"}}, "203.0.113.5"},
		"empty":                                  {proxy, http.Header{x: {""}}, "10.0.0.1"},
		"commas":                                 {proxy, http.Header{x: {",,,"}}, "10.0.0.1"},
		"words":                                  {proxy, http.Header{x: {"203.0.113.5, unknown"}}, "10.0.0.1"},
		"words behind a proxy":                   {proxy, http.Header{x: {"203.0.113.5, <script>, 192.0.2.9"}}, "192.0.2.9"},
		"a name":                                 {proxy, http.Header{x: {"localhost"}}, "10.0.0.1"},
		"a zone":                                 {proxy, http.Header{x: {"fe80::1%eth0"}}, "fe80::1"},
		"Forwarded":                              {proxy, http.Header{f: {`for=203.0.113.5;proto=https;by=10.0.0.1`}}, "203.0.113.5"},
		"Forwarded, in capitals":                 {proxy, http.Header{f: {`Proto=https; For="203.0.113.5:4711"`}}, "203.0.113.5"},
		"Forwarded, IPv6":                        {proxy, http.Header{f: {`for="[2001:db8::7]:4711"`}}, "2001:db8::7"},
		"Forwarded, the caller names another":    {proxy, http.Header{f: {`for=198.51.100.7, for=203.0.113.5`}}, "203.0.113.5"},
		"Forwarded, a comma in quotes":           {proxy, http.Header{f: {`for="198.51.100.7, for=10.0.0.1", for=203.0.113.5`}}, "203.0.113.5"},
		"Forwarded, an open quote":               {proxy, http.Header{f: {`for=", for=203.0.113.5`}}, "10.0.0.1"},
		"Forwarded, hidden":                      {proxy, http.Header{f: {`for=_hidden`}}, "10.0.0.1"},
		"Forwarded, nothing of it":               {proxy, http.Header{f: {`proto=https`}}, "10.0.0.1"},
		"both agree":                             {proxy, http.Header{x: {"203.0.113.5"}, f: {"for=203.0.113.5"}}, "203.0.113.5"},
		"one of both is the caller's own":        {proxy, http.Header{x: {"203.0.113.5"}, f: {"for=198.51.100.7"}}, "10.0.0.1"},
		"a unix socket's peer":                   {"@", http.Header{x: {"203.0.113.5"}}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: c.header}
		if got := Behind(trusted)(r); got.String() != c.want {
			t.Errorf("%s: counted as %s, want %s", name, got, c.want)
		}
		peer := remoteAddress(r)
		if got := Behind(nil)(r); got != peer {
			t.Errorf("%s, no proxy is trusted: counted as %s, want %s", name, got, peer)
		}
	}
}

// Nothing that is sent makes a caller somebody else than what the proxy has added says.
func FuzzBehind(f *testing.F) {
	f.Add("198.51.100.7", true)
	f.Add(`for="x`, false)
	f.Add(`for=198.51.100.7, for="10.0.0.1"`, false)
	of := Behind([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	self, proxy := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, said string, xff bool) {
		h := http.Header{"Forwarded": {said, "for=203.0.113.5"}}
		if xff {
			h = http.Header{"X-Forwarded-For": {said + ", 203.0.113.5"}}
		}
		if got := of(&http.Request{RemoteAddr: "10.0.0.1:1", Header: h}); got != self && got != proxy {
			t.Errorf("by %q counted as %s", said, got)
		}
	})
}

// Two people behind one proxy have a limit each, and whoever is behind none has one limit whatever they say.
func TestLimitsBehindAProxy(t *testing.T) {
	for _, c := range []struct {
		name  string
		proxy string
		want  [3]int // of one person, another, and the first again
	}{
		{"trusted", "192.0.2.0/24", [3]int{201, 201, 429}}, // httptest's requests come from 192.0.2.1
		{"another network", "198.51.100.0/24", [3]int{201, 429, 429}},
	} {
		n := newNode(t, "us-east-1", new(eventlog.Memory), func(cfg *Config) {
			cfg.Address = Behind([]netip.Prefix{netip.MustParsePrefix(c.proxy)})
			cfg.Limits.Guests = Rate{PerSecond: 1e-9, Burst: 1}
		})
		var got [3]int
		for i, from := range []string{"203.0.113.5", "203.0.113.6", "203.0.113.7, 203.0.113.5"} {
			got[i] = n.ask("POST", "/v1/guests", "", `{"name":"Ada"}`, "X-Forwarded-For", from).status
		}
		if got != c.want {
			t.Errorf("%s: answers %v, want %v", c.name, got, c.want)
		}
	}
}

// Of one address that is refused again and again a few lines are told, others still are, and it is said how many were not.
func TestRefusalsAreSampled(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Now = func() time.Time { return now } })
	told := func(from string) (lines int, untold uint64) {
		for range 300 {
			if _, u, ok := n.api.RefusalTold(&http.Request{RemoteAddr: from}); ok {
				lines, untold = lines+1, untold+u
			}
		}
		return lines, untold
	}
	if lines, untold := told("203.0.113.5:1"); lines != 5 || untold != 0 {
		t.Errorf("one address: %d lines, %d untold; want 5, 0", lines, untold)
	}
	if lines, untold := told("203.0.113.6:1"); lines != 5 || untold != 295 {
		t.Errorf("another: %d lines, %d untold; want 5, 295", lines, untold)
	}
	lines := 0
	for i := range 1000 {
		if _, _, ok := n.api.RefusalTold(&http.Request{RemoteAddr: fmt.Sprintf("198.51.%d.%d:1", i/250, i%250)}); ok {
			lines++
		}
	}
	if lines != 90 {
		t.Errorf("a thousand addresses: %d lines, want 90", lines)
	}
	now = now.Add(time.Minute)
	if lines, untold := told("203.0.113.5:1"); lines != 5 || untold != 910 {
		t.Errorf("a minute later: %d lines, %d untold; want 5, 910", lines, untold)
	}
}
