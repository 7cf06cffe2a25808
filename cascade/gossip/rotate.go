package gossip

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"rotunda"
)

// SetIdentity has this node sign what it says by another certificate of its own, and believe others by other roots. Everybody is
// told at once. Whom the roots do not prove any more is no member until they have shown another certificate. On an error nothing
// has changed.
func (g *Gossip) SetIdentity(certificate tls.Certificate, roots *x509.CertPool) error {
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return errors.New("node certificate has no key that signs")
	}
	hello, err := encodeHello(g.self.ID, certificate.Certificate)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.roots = roots
	if !bytes.Equal(hello, g.hello) {
		g.key, g.hello, g.renewed = key, hello, true
	}
	g.mu.Unlock()
	g.disown()
	token(g.wake)
	return nil
}

// disown takes those for strangers whose certificates the roots do not prove.
func (g *Gossip) disown() {
	g.mu.Lock()
	chains := map[rotunda.NodeID][][]byte{}
	for id, e := range g.entries {
		if e.key != nil {
			chains[id] = e.chain
		}
	}
	g.mu.Unlock()
	for id, chain := range chains {
		if _, _, err := g.verifyChain(chain); err == nil {
			continue
		}
		g.mu.Lock()
		if e := g.entries[id]; e != nil && sameChain(e.chain, chain) { // else it has shown another one meanwhile
			e.key, e.believed, e.asked = nil, false, time.Time{}
		}
		g.mu.Unlock()
		g.log.Warn("a member's certificate is not believed any more", "peer", id)
	}
	token(g.changed)
}

func sameChain(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// SetKeys has gossip encrypted with the first key and decrypted with all of them, and with no others. A mesh that began without
// keys takes none, and one with keys is never left without.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.ring == nil || len(keys) == 0 {
		return errors.New("gossip is either encrypted from the start or not at all")
	}
	for i, k := range keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return fmt.Errorf("gossip key %d: %w", i, err)
		}
	}
	for _, k := range keys { // what can be read grows before it shrinks
		if err := g.ring.AddKey(k); err != nil {
			return err
		}
	}
	if err := g.ring.UseKey(keys[0]); err != nil {
		return err
	}
	for _, k := range g.ring.GetKeys() {
		if !slices.ContainsFunc(keys, func(wanted []byte) bool { return bytes.Equal(wanted, k) }) {
			if err := g.ring.RemoveKey(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// introduce gives everybody this node's new certificates, where there are such; its record is signed anew then.
func (g *Gossip) introduce(ml *memberlist.Memberlist) {
	g.mu.Lock()
	var to []rotunda.NodeID
	if g.renewed {
		for id := range g.entries {
			to = append(to, id)
		}
		g.sealAt = g.sealAt.Add(-sealEvery)
	}
	g.renewed = false
	g.mu.Unlock()
	for _, id := range to {
		g.send(ml, id, false) // who is not reached asks, when it does not believe the next record
	}
}
