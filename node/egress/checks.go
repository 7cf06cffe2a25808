package egress

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"rotunda/node/egress/stun"
)

const (
	// provedMax is how many addresses of a session are known at once: of each of its networks one or two.
	provedMax = 4
	// checksLen is how many checks are remembered: of the last ten seconds or more.
	checksLen = 12
	// strayAfter is how long the address in use may be silent until another one takes over unasked: a NAT has given the client
	// another port. Clients check the pair in use every 2.5 s or more often.
	strayAfter = 4 * time.Second
)

// checks remembers checks that came, so that who overhears one cannot use it for an address of their own.
type checks struct {
	seen [checksLen]struct {
		id   stun.TransactionID
		from uint64
	}
	next    int
	current time.Time // when the address in use was last heard
}

// take notes a check and reports whether it is new, or comes from where it came from before: a client repeats what is not answered.
func (c *checks) take(id stun.TransactionID, from origin) bool {
	where := hashOf(from.at)
	for i := range c.seen {
		if c.seen[i].id == id {
			return c.seen[i].from == where
		}
	}
	c.seen[c.next].id, c.seen[c.next].from = id, where
	c.next = (c.next + 1) % checksLen
	return true
}

// hashOf is FNV-1a of an address.
func hashOf(a netip.AddrPort) uint64 {
	h := uint64(14695981039346656037)
	ip := a.Addr().As16()
	for _, b := range ip {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return (h ^ uint64(a.Port())) * 1099511628211
}

// checked takes a STUN message; ours is false for what belongs to no session here. Nothing is answered but an authentic check.
func (s *Server) checked(now time.Time, b []byte, from origin) (ours bool) {
	r, ok := stun.Parse(b)
	if !ok {
		return false
	}
	fragment, _, _ := bytes.Cut(r.Username, []byte(":"))
	s.mu.RLock()
	n := s.byFragment[string(fragment)]
	var password string
	renewed := false
	if n != nil {
		password = n.password
		if n.fragment != string(fragment) {
			password = n.former.password
		} else {
			renewed = n.former.fragment != ""
		}
	}
	s.mu.RUnlock()
	if n == nil {
		return false
	}
	if !r.Authentic(password) {
		return true
	}
	to := n.to.Load()
	n.mu.Lock()
	fresh := n.checks.take(r.ID, from)
	stray := now.Sub(n.checks.current) > strayAfter
	if fresh && (to == nil || to.is(from)) {
		n.checks.current = now
	}
	n.mu.Unlock()
	if !fresh {
		return true
	}
	if renewed {
		s.restarted(n)
	}
	n.heard.Store(now.UnixNano())
	if to == nil || !to.is(from) {
		if !s.prove(n, from) {
			return true
		}
		if to == nil || r.UseCandidate || stray {
			n.mu.Lock()
			n.checks.current = now
			n.mu.Unlock()
			n.to.Store(s.peer(from))
		}
	}
	var answer [96]byte
	s.reply(from, stun.AppendSuccess(answer[:0], r.ID, from.at, password)) // a lost one is asked for again
	return true
}

// prove notes that a session has proved an address, or a connection; false: it has ended.
func (s *Server) prove(n *Session, by origin) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.sessions[n]; !ok {
		return false
	}
	if by.stream != nil {
		by.stream.session = n
		return true
	}
	from := by.at
	if s.byAddress[from] == n {
		return true
	}
	if len(n.addresses) >= provedMax {
		oldest := 0
		if to := n.to.Load(); to != nil && to.stream == nil && n.addresses[0] == to.at {
			oldest = 1
		}
		if s.byAddress[n.addresses[oldest]] == n {
			delete(s.byAddress, n.addresses[oldest])
		}
		n.addresses = slices.Delete(n.addresses, oldest, oldest+1)
	}
	n.addresses = append(n.addresses, from)
	s.byAddress[from] = n // who proved it last has it: NATs give addresses to others
	return true
}

// restarted forgets the credentials from before a restart of ICE: the new ones are in use.
func (s *Server) restarted(n *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.former.fragment != "" {
		delete(s.byFragment, n.former.fragment)
		n.former = credentials{}
	}
}

// Restart gives the session new credentials (RFC 8445 §9); the old ones hold until the new are used. The fragment (RFC 8840 §9)
// tells them to the client; ok is false in a session that has ended.
func (n *Session) Restart() (fragment string, ok bool) {
	s := n.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, alive := s.sessions[n]; !alive {
		return "", false
	}
	if n.former.fragment == "" {
		n.former = n.credentials
	} else { // restarted again before the new ones were used
		delete(s.byFragment, n.fragment)
	}
	n.credentials = newCredentials()
	s.byFragment[n.fragment] = n
	return n.describeICE(), true
}

// sequenceOf reads the 48-bit number of a DTLS record, with its epoch before it.
func sequenceOf(record []byte) uint64 { return binary.BigEndian.Uint64(record[3:]) }
