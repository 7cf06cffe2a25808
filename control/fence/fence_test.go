package fence

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"testing"

	"rotunda"
	"rotunda/control/eventlog"
)

func newRing(t *testing.T, log eventlog.Log, region rotunda.Region) *Ring {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{
		Region: region, Keys: []*ecdh.PrivateKey{key}, Proof: append([]byte(string(region)+"\x00"), key.PublicKey().Bytes()...), Log: log,
		Prove: func(proof []byte) (rotunda.Region, *ecdh.PublicKey, error) {
			name, public, _ := bytes.Cut(proof, []byte{0})
			k, err := ecdh.P256().NewPublicKey(public)
			return rotunda.Region(name), k, err
		},
	})
	if err == nil {
		err = r.Publish(t.Context())
	}
	if err == nil {
		err = r.Publish(t.Context()) // a second node of the region, or a restart: nothing is added
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What is sealed opens as what it is, where it belongs, and with no octet changed; and only inside.
func TestEnvelope(t *testing.T) {
	log := new(eventlog.Memory)
	a, b, out := newRing(t, log, "a"), newRing(t, log, "b"), newRing(t, log, "out")
	if end, err := log.Head(t.Context(), Chain); err != nil || end.Seq != 3 {
		t.Errorf("the chain of three regions has %d entries, %v", end.Seq, err)
	}
	room := rotunda.FencedID("k3v9q7m2x4ab")
	l, err := a.Make(t.Context(), room, rotunda.Fence{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("what was said")
	e := l.Seal(Event, 7, text, true)
	if bytes.Contains(e, text) || bytes.Equal(e, l.Seal(Event, 7, text, true)) {
		t.Error("it shows, or it is the same twice")
	}
	inside, err := b.Lock(room, e)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inside.Open(Event, 7, e); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := inside.Open(Event, 8, l.Seal(Event, 8, text, false)); err != nil || !bytes.Equal(got, text) {
		t.Errorf("without a header: %q, %v", got, err)
	}
	var outside *Outside
	for name, r := range map[string]*Ring{"outside": out, "no ring": nil} {
		if _, err := r.Lock(room, e); !errors.As(err, &outside) || len(outside.Fence) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Lock("in-other", e); !errors.As(err, &outside) {
		t.Errorf("as another room's: %v", err)
	}
	if _, err := inside.Open(Event, 6, e); !errors.Is(err, ErrSealed) {
		t.Errorf("in another place: %v", err)
	}
	if _, err := inside.Open(Fact, 7, e); !errors.Is(err, ErrSealed) {
		t.Errorf("as another kind: %v", err)
	}
	for i := range e {
		changed := bytes.Clone(e)
		changed[i] ^= 1
		if _, err := inside.Open(Event, 7, changed); !errors.Is(err, ErrSealed) {
			t.Errorf("octet %d changed: %v", i, err)
		}
		if _, err := inside.Open(Event, 7, e[:i]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if f, ok := Regions(e); !ok || len(f) != 2 || f[1] != "b" {
		t.Errorf("regions %v", f)
	}
}

// After a new key of its region a node opens what was sealed for the old one, others seal for the new one, and whoever has the
// old one alone reads no new room.
func TestKeysAreRenewed(t *testing.T) {
	log := new(eventlog.Memory)
	old, other := newRing(t, log, "a"), newRing(t, log, "b")
	seal := func() []byte {
		t.Helper()
		l, err := other.Make(t.Context(), "in-k3v9", rotunda.Fence{"a", "b"})
		if err != nil {
			t.Fatal(err)
		}
		return l.Seal(Event, 1, []byte("hello"), true)
	}
	before := seal()
	fresh := newRing(t, log, "a")
	fresh.keys = append(fresh.keys, old.keys...)
	after := seal()
	for name, sealed := range map[string][]byte{"before": before, "after": after} {
		if _, err := fresh.Lock("in-k3v9", sealed); err != nil {
			t.Errorf("sealed %s the renewal: %v", name, err)
		}
	}
	if _, err := old.Lock("in-k3v9", after); err == nil {
		t.Error("the old key opens a new room")
	}
}

// Whatever comes in place of an envelope is refused without harm, and a header that is read names a fence that may be one.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte{1, 0, 0})
	f.Add([]byte{1, 0, 3, 1, 1, 'a', 0, 0})
	f.Add([]byte("{}"))
	r, err := New(Config{Region: "a"})
	if err != nil {
		f.Fatal(err)
	}
	l, err := newLock("in-x", rotunda.Fence{"a"}, nil, make([]byte, keySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(l.Seal(Event, 1, []byte("x"), true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if fence, ok := Regions(b); ok && fence.Valid() != nil {
			t.Errorf("fence %v", fence)
		}
		if _, err := r.Lock("in-x", b); err == nil {
			t.Error("opened without a key")
		}
		if c, err := l.Open(Event, 2, b); err == nil {
			t.Errorf("opened %q", c)
		}
	})
}
