package rtc

import (
	"fmt"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// pion's agent looks every 200 ms whether a check was answered, and nominates the path then (RFC 8445 §8.1.1). A server that
// is ICE-lite sends no checks of its own that would have it look sooner. It also looks whenever the server has one more
// candidate, so it is told one again under another name: after hurryFirst, after twice that, and so on. Each is one or two
// checks more, to an address that is checked anyway.
const (
	hurryFirst = 10 * time.Millisecond
	hurries    = 5
)

// hurry has the agent look for the n-th time, counted from 0.
func (c *client) hurry(answer string, n int) {
	again, ok := renamed(answer, n)
	if !ok {
		return // there is nobody to send checks to
	}
	if err := c.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: again}); err != nil {
		c.cfg.Logger.Debug("the server's candidate under another name", "error", err)
	}
}

// renamed is the first candidate of a description by the name of an address that some server has seen (RFC 8839 §5.1), the
// n-th such name, and least wanted of all.
func renamed(description string, n int) (candidate string, ok bool) {
	_, rest, ok := strings.Cut(description, "a=candidate:")
	f := strings.Fields(rest)
	if !ok || len(f) < 6 {
		return "", false
	}
	return fmt.Sprintf("candidate:again%d %s %s 1 %s %s typ srflx raddr 0.0.0.0 rport %d", n, f[1], f[2], f[4], f[5], n), true
}
