package gossip

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"rotunda"
)

// Reasons of rotunda_gossip_dropped_total.
const (
	dropMalformed  = "malformed"
	dropForged     = "forged"
	dropOversized  = "oversized"
	dropWrongLabel = "wrong_label"
)

func (g *Gossip) dropped(reason string) { g.metrics.GossipDropped.With(reason).Inc() }

// entry is what is known of another node.
type entry struct {
	member   rotunda.Member // newest record that was believed
	believed bool           // a record was believed
	raw      []byte         // the same, encoded; before the first is believed, the one that waits for a key
	signed   int64
	chain    [][]byte         // its certificate and those between it and the roots, as they came
	key      crypto.PublicKey // of its certificate; nil: not seen yet, or not believed any more
	region   rotunda.Region   // of its certificate
	recheck  bool             // a record had another signature: the certificate may be a new one
	asked    time.Time        // when its certificate was asked for last
	owed     bool             // it asked for this node's
	suspect  bool
	address  netip.AddrPort // of its gossip, as its newest record says
	joined   bool           // memberlist knows it
	gone     bool           // memberlist has given it up
	goneAt   time.Time
	pinged   int64 // time in the newest answer to a ping, ms since 1970
}

// view is the member as others shall see it.
func (e *entry) view() rotunda.Member {
	m := e.member
	switch {
	case m.State == rotunda.Left: // it said so itself
	case e.gone:
		m.State = rotunda.Dead
	case e.suspect:
		m.State = rotunda.Suspect
	}
	return m
}

// believe takes raw as the node's newest word if its signature is good.
func (e *entry) believe(r record, raw []byte) error {
	if r.member.Region != e.region || !proven(raw, recordContext, r.member.ID, e.key) {
		return errForged
	}
	if r.signed < e.signed {
		return errOld
	}
	coordinate := e.member.Coordinate
	e.member, e.believed, e.raw, e.signed = r.member, true, raw, r.signed
	if e.pinged > r.signed { // the answer to a ping was fresher
		e.member.Coordinate = coordinate
	}
	return nil
}

// delegate is what memberlist calls, from its own goroutines, partly under its own locks: nothing in it blocks or calls
// back.
type delegate struct{ g *Gossip }

// NotifyAlive decides whether a node's metadata is taken.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == string(d.g.self.ID) {
		return nil // memberlist answers claims about this node itself
	}
	err := d.g.alive(n)
	switch {
	case errors.Is(err, errMalformed):
		d.g.dropped(dropMalformed)
	case errors.Is(err, errOversized):
		d.g.dropped(dropOversized)
	case errors.Is(err, errForged):
		d.g.dropped(dropForged)
	}
	return err
}

func (g *Gossip) alive(n *memberlist.Node) error {
	r, err := parseRecord(n.Meta, rotunda.NodeID(n.Name))
	if err != nil {
		return err
	}
	ip, _ := netip.AddrFromSlice(n.Addr)
	address := netip.AddrPortFrom(ip.Unmap(), n.Port)
	if address.String() != r.member.Addresses.Gossip {
		return errForged
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entries[r.member.ID]
	if e == nil {
		if len(g.entries) >= membersMax {
			return fmt.Errorf("more than %d members", membersMax)
		}
		e = &entry{}
		g.entries[r.member.ID] = e
	}
	if !e.believed {
		e.address = address
	}
	if bytes.Equal(e.raw, n.Meta) {
		if e.suspect { // it objects
			e.suspect = false
			token(g.changed)
		}
		return nil
	}
	if e.key == nil {
		e.raw, e.signed = bytes.Clone(n.Meta), 0
		token(g.wake)
		return nil // memberlist may know it; Members does not until it is proven
	}
	if err := e.believe(r, bytes.Clone(n.Meta)); err != nil {
		e.recheck = e.recheck || errors.Is(err, errForged)
		return err
	}
	e.address = address
	token(g.changed)
	return nil
}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.g.state(n, false) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.g.state(n, false) }

// NotifyLeave: memberlist does not say whether a node left or died (Node.State is not kept up to date in 0.7.0), and anybody
// could claim it; a node that leaves says so in its last record.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.g.state(n, true) }

func (g *Gossip) state(n *memberlist.Node, gone bool) {
	g.mu.Lock()
	if e := g.entries[rotunda.NodeID(n.Name)]; e != nil {
		e.joined, e.gone, e.goneAt, e.suspect = true, gone, time.Now(), false
	}
	g.mu.Unlock()
	token(g.changed)
	token(g.wake)
}

// suspected notes that a node does not answer this node's probes.
func (g *Gossip) suspected(id rotunda.NodeID) {
	g.mu.Lock()
	if e := g.entries[id]; e != nil && !e.gone {
		e.suspect = true
	}
	g.mu.Unlock()
	token(g.changed)
}

// NotifyConflict: two nodes of one name. The first stays; the certificate's owner is told by the operator's log.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.g.log.Warn("two nodes of one name", "id", existing.Name, "known", existing.Address(), "other", other.Address())
}

// NodeMeta is this node's record.
func (d delegate) NodeMeta(int) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return d.g.sealed
}

// LocalState is given to a node that joins or compares its view: this node's certificate.
func (d delegate) LocalState(bool) []byte {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	return d.g.hello
}

func (d delegate) MergeRemoteState(b []byte, _ bool) { d.NotifyMsg(b) }

// NotifyMsg takes a hello.
func (d delegate) NotifyMsg(b []byte) {
	h, err := parseHello(b)
	if err != nil {
		d.g.dropped(dropMalformed)
		return
	}
	select {
	case d.g.hellos <- h:
	default: // it is asked for again
	}
}

func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }

// AckPayload goes back with the answer to a ping.
func (d delegate) AckPayload() []byte {
	d.g.mu.Lock()
	key := d.g.key
	d.g.mu.Unlock()
	b, err := sealPing(d.g.self.ID, time.Now(), ours(d.g.vivaldi.GetCoordinate()), key)
	if err != nil {
		return nil // the key has signed records before: it will again
	}
	return b
}

// NotifyPingComplete moves this node's coordinate.
func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	g := d.g
	id := rotunda.NodeID(n.Name)
	g.mu.Lock()
	e := g.entries[id]
	if e == nil || e.key == nil || !e.believed {
		g.mu.Unlock()
		return
	}
	at, c, err := parsePing(payload, id, e.key)
	if err == nil && at >= e.pinged {
		e.pinged, e.member.Coordinate, e.suspect = at, c, false
	}
	g.mu.Unlock()
	switch {
	case errors.Is(err, errForged):
		g.dropped(dropForged)
	case err != nil:
		g.dropped(dropMalformed)
	default:
		if _, err := g.vivaldi.Update(string(id), theirs(c), rtt); err != nil {
			g.log.Debug("coordinate not used", "id", id, "err", err)
		}
	}
}

// hello carries a node's certificates. Octets: 1 format (1), 1 flags (bit 0: please answer with yours), node id (text),
// 1 count (1 to chainMax), and for each certificate, leaf first, 2 of length and the DER.
type hello struct {
	from   rotunda.NodeID
	answer bool
	chain  [][]byte
}

const (
	helloFormat = 1
	chainMax    = 4
	derMax      = 4096
)

func encodeHello(id rotunda.NodeID, chain [][]byte) ([]byte, error) {
	if len(chain) == 0 || len(chain) > chainMax {
		return nil, fmt.Errorf("node certificate has a chain of %d, want 1 to %d", len(chain), chainMax)
	}
	b := append([]byte{helloFormat, 0, byte(len(id))}, id...)
	b = append(b, byte(len(chain)))
	for _, der := range chain {
		if len(der) > derMax {
			return nil, fmt.Errorf("node certificate has %d octets, more than %d", len(der), derMax)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(der)))
		b = append(b, der...)
	}
	return b, nil
}

// parseHello copies what it keeps: memberlist uses the buffer again.
func parseHello(b []byte) (h hello, err error) {
	if len(b) < 3 || b[0] != helloFormat || b[1] > 1 || len(b) < 3+int(b[2])+1 {
		return h, errMalformed
	}
	h.answer = b[1] == 1
	h.from = rotunda.NodeID(b[3 : 3+b[2]])
	n := int(b[3+b[2]])
	b = b[4+int(b[2]):]
	if h.from.Valid() != nil || n < 1 || n > chainMax {
		return h, errMalformed
	}
	for range n {
		if len(b) < 2 {
			return h, errMalformed
		}
		size := int(binary.BigEndian.Uint16(b))
		if size > derMax || len(b) < 2+size {
			return h, errMalformed
		}
		h.chain = append(h.chain, bytes.Clone(b[2:2+size]))
		b = b[2+size:]
	}
	if len(b) != 0 {
		return h, errMalformed
	}
	return h, nil
}
