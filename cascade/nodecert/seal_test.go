package nodecert_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"rotunda/cascade/nodecert"
	"rotunda/cascade/nodecert/certtest"
)

var sealedAt = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestSeal(t *testing.T) {
	ca := certtest.NewCA()
	for name, c := range map[string]tls.Certificate{"Ed25519": ca.Node("eu", "a"), "P-256": ca.NodeP256("eu", "a")} {
		message := []byte("bob is muted")
		b, err := nodecert.Seal(c, "fact", message)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := len(b) - len(message); got != nodecert.SealOverhead(c) {
			t.Errorf("%s: the seal adds %d octets, SealOverhead says %d", name, got, nodecert.SealOverhead(c))
		}
		id, got, err := nodecert.Open(ca.Roots(), sealedAt, "fact", b)
		if err != nil || id != (nodecert.Identity{Region: "eu", ID: "a"}) || !bytes.Equal(got, message) {
			t.Errorf("%s: opened %v, %q, %v", name, id, got, err)
		}
		if _, _, err := nodecert.Open(ca.Roots(), sealedAt, "other", b); !errors.Is(err, nodecert.ErrNotMember) {
			t.Errorf("%s: opened for another purpose: %v", name, err)
		}
		if _, _, err := nodecert.Open(certtest.NewCA().Roots(), sealedAt, "fact", b); !errors.Is(err, nodecert.ErrNotMember) {
			t.Errorf("%s: opened by another mesh: %v", name, err)
		}
		if _, _, err := nodecert.Open(ca.Roots(), sealedAt.AddDate(100, 0, 0), "fact", b); !errors.Is(err, nodecert.ErrNotMember) {
			t.Errorf("%s: opened after the certificate's time: %v", name, err)
		}
		for i := range b { // no bit counts for nothing
			forged := slices.Clone(b)
			forged[i] ^= 1
			if _, _, err := nodecert.Open(ca.Roots(), sealedAt, "fact", forged); err == nil {
				t.Errorf("%s: opens with octet %d changed", name, i)
			}
			if _, _, err := nodecert.Open(ca.Roots(), sealedAt, "fact", b[:i]); err == nil {
				t.Errorf("%s: its first %d octets open", name, i)
			}
		}
	}
}

// Somebody else's certificate does not make a message theirs.
func TestSealOfAnother(t *testing.T) {
	ca := certtest.NewCA()
	mine, theirs := ca.Node("eu", "a"), ca.Node("eu", "b")
	mine.Certificate = theirs.Certificate
	b, err := nodecert.Seal(mine, "fact", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if id, _, err := nodecert.Open(ca.Roots(), sealedAt, "fact", b); !errors.Is(err, nodecert.ErrNotMember) {
		t.Errorf("opens as %v, %v", id, err)
	}
}

func FuzzOpen(f *testing.F) {
	ca := certtest.NewCA()
	b, err := nodecert.Seal(ca.Node("eu", "a"), "fact", []byte("bob is muted"))
	if err != nil {
		f.Fatal(err)
	}
	roots := ca.Roots()
	f.Add(b)
	f.Add([]byte{1, 1, 0, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _, err := nodecert.Open(roots, sealedAt, "fact", in)
		if err == nil && !bytes.Equal(in, b) {
			t.Fatalf("%x opens, and nobody has sealed it", in)
		}
		if err != nil && !errors.Is(err, nodecert.ErrMalformed) && !errors.Is(err, nodecert.ErrNotMember) {
			t.Fatalf("error %v is of no kind", err)
		}
	})
}
