package srtp

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/pion/srtp/v3"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 3711 §B.3.
func TestDerive(t *testing.T) {
	master, err := aes.NewCipher(unhex(t, "E1F97A0D3E018BE0D64FA32C06DE4139"))
	if err != nil {
		t.Fatal(err)
	}
	salt := unhex(t, "0EC675AD498AFEEBB6960B3AABE6")
	for _, c := range []struct {
		label byte
		n     int
		want  string
	}{
		{labelKey, 16, "c61e7a93744f39ee10734afe3ff7a087"},
		{labelSalt, 14, "30cbbc08863d8c85d49db34a9ae1"},
		{labelAuth, 20, "cebe321f6ff7716b6fd4ab49af256a156d38baa4"},
	} {
		if got := hex.EncodeToString(derive(master, salt, c.label, c.n)); got != c.want {
			t.Errorf("label %d: %s, want %s", c.label, got, c.want)
		}
	}
}

// RFC 3711 §B.2: the key stream of segment 0.
func TestCounterMode(t *testing.T) {
	block, err := aes.NewCipher(unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"))
	if err != nil {
		t.Fatal(err)
	}
	h := half{block: block}
	copy(h.salt[:], unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD"))
	b := make([]byte, 40)
	h.counterMode(b, 0, 0)
	if got, want := hex.EncodeToString(b), "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

var profiles = map[string]Profile{"gcm": GCM, "cm80": CM80}

func keys(p Profile) (key, salt []byte) {
	return bytes.Repeat([]byte{0x5a}, KeyLen), bytes.Repeat([]byte{0x17}, p.SaltLen())
}

func header(seq uint16) []byte {
	h := make([]byte, 12)
	h[0], h[1] = 0x80, 111
	binary.BigEndian.PutUint16(h[2:], seq)
	binary.BigEndian.PutUint32(h[8:], 0xcafe)
	return h
}

// The general stack opens what is sealed here, over two wraps of the sequence number, and the other way round.
func TestAgainstPion(t *testing.T) {
	for name, p := range profiles {
		t.Run(name, func(t *testing.T) {
			key, salt := keys(p)
			s, err := NewSender(p, key, salt)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := srtp.CreateContext(key, salt, srtp.ProtectionProfile(p))
			if err != nil {
				t.Fatal(err)
			}
			var sent Sent
			dst := make([]byte, 1500)
			payload := []byte("a frame of speech that is a little longer than two blocks")
			for i := range 150_000 {
				if i%997 != 0 && i%65536 < 65500 && i%65536 > 40 {
					continue // its index is taken all the same
				}
				b, err := s.RTP(dst, header(uint16(65000+i)), payload, &sent)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := theirs.DecryptRTP(nil, b, nil)
				if err != nil || !bytes.Equal(plain[12:], payload) {
					t.Fatalf("packet %d: %v", i, err)
				}
			}
			report := append([]byte{0x80, 200, 0, 6, 0, 0, 0xca, 0xfe}, make([]byte, 20)...)
			for range 3 {
				plain, err := theirs.DecryptRTCP(nil, s.RTCP(nil, report), nil)
				if err != nil || !bytes.Equal(plain, report) {
					t.Fatalf("report: %v", err)
				}
			}
			r, err := NewReceiver(p, key, salt)
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := theirs.EncryptRTCP(nil, report, nil)
			if err != nil {
				t.Fatal(err)
			}
			again := bytes.Clone(sealed)
			changed := bytes.Clone(sealed)
			changed[9] ^= 1
			if _, ok := r.RTCP(changed); ok {
				t.Error("a changed report was taken")
			}
			if plain, ok := r.RTCP(sealed); !ok || !bytes.Equal(plain, report) {
				t.Error("a report was not taken")
			}
			if _, ok := r.RTCP(again); ok {
				t.Error("a report was taken twice")
			}
		})
	}
}

// An index is used once, except for the same packet again.
func TestIndicesAreNotReused(t *testing.T) {
	key, salt := keys(GCM)
	s, err := NewSender(GCM, key, salt)
	if err != nil {
		t.Fatal(err)
	}
	var sent Sent
	dst := make([]byte, 200)
	seal := func(seq uint16) bool {
		_, err := s.RTP(dst, header(seq), []byte("x"), &sent)
		return err == nil
	}
	for _, c := range []struct {
		seq  uint16
		want bool
	}{
		{10, true}, {10, false}, {12, true}, {11, true}, {11, false}, {9, true}, {100, true}, {12, false}, {40, true}, {36, false},
		{65530, false}, {200, true},
	} {
		if got := seal(c.seq); got != c.want {
			t.Errorf("sequence %d: sealed %v, want %v", c.seq, got, c.want)
		}
	}
	first := bytes.Clone(s.AgainRTP(dst, header(200), []byte("x"), &sent))
	if again := s.AgainRTP(dst, header(200), []byte("x"), &sent); !bytes.Equal(first, again) {
		t.Error("the same packet differs")
	}
	if s.AgainRTP(dst, header(199), []byte("x"), &sent) != nil {
		t.Error("a packet was sent again that was never sent")
	}
}

func TestSealingAllocatesNothing(t *testing.T) {
	for name, p := range profiles {
		key, salt := keys(p)
		s, _ := NewSender(p, key, salt)
		r, _ := NewReceiver(p, key, salt)
		var sent Sent
		dst, head, payload := make([]byte, 1500), header(0), make([]byte, 100)
		report, sealed := make([]byte, 28), make([]byte, 0, 100)
		seq := uint16(0)
		if n := testing.AllocsPerRun(200, func() {
			seq++
			binary.BigEndian.PutUint16(head[2:], seq)
			if _, err := s.RTP(dst, head, payload, &sent); err != nil {
				t.Fatal(err)
			}
			if _, ok := r.RTCP(s.RTCP(sealed, report)); !ok {
				t.Fatal("a report does not open")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
	}
}

func BenchmarkRTP(b *testing.B) {
	for name, p := range profiles {
		b.Run(name, func(b *testing.B) {
			key, salt := keys(p)
			s, _ := NewSender(p, key, salt)
			var sent Sent
			dst, head, payload := make([]byte, 1500), header(0), make([]byte, 80)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				binary.BigEndian.PutUint16(head[2:], uint16(i))
				if _, err := s.RTP(dst, head, payload, &sent); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzReceiver(f *testing.F) {
	key, salt := keys(GCM)
	s, _ := NewSender(GCM, key, salt)
	f.Add(s.RTCP(nil, make([]byte, 28)))
	f.Add([]byte{0x80, 201, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range profiles {
			key, salt := keys(p)
			r, err := NewReceiver(p, key, salt)
			if err != nil {
				t.Fatal(err)
			}
			if plain, ok := r.RTCP(bytes.Clone(b)); ok && len(plain) > len(b) {
				t.Errorf("%d bytes of %d", len(plain), len(b))
			}
		}
	})
}
