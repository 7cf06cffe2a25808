package stun

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// RFC 5769 §2.1: the sample request, with USERNAME "evtj:h6vY" and the password below.
const (
	sample = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36" +
		"00060009" + "6576746a3a68367659202020" + "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
	samplePassword = "VOkJxbRl1RmTxUk/WvJxBt"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSampleRequest(t *testing.T) {
	b := fromHex(t, sample)
	r, ok := Parse(b)
	if !ok || string(r.Username) != "evtj:h6vY" || r.UseCandidate {
		t.Fatalf("Parse = %+v, %v", r, ok)
	}
	if !r.Authentic(samplePassword) {
		t.Error("the sample is not authentic")
	}
	if r.Authentic(samplePassword + "x") {
		t.Error("authentic with another password")
	}
}

// RFC 5769 §2.2 and §2.3: the addresses of the sample responses.
func TestXorAddress(t *testing.T) {
	id := TransactionID(fromHex(t, "b7e7a701bc34d686fa87dfae"))
	for addr, want := range map[string]string{
		"192.0.2.1:32853": "002000080001a147e112a643",
		"[2001:db8:1234:5678:11:2233:4455:6677]:32853": "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9",
	} {
		if got := hex.EncodeToString(appendXorAddress(nil, id, netip.MustParseAddrPort(addr))); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestExchange(t *testing.T) {
	id := TransactionID{1, 2, 3}
	req := AppendRequest(nil, id, "server:client", "secret", true)
	r, ok := Parse(req)
	if !ok || r.ID != id || string(r.Username) != "server:client" || !r.UseCandidate || !r.Authentic("secret") {
		t.Fatalf("Parse = %+v, %v", r, ok)
	}
	res := AppendSuccess([]byte("x"), id, netip.MustParseAddrPort("[2001:db8::1]:9"), "secret")[1:]
	if !IsSuccess(res, id, "secret") || IsSuccess(res, id, "other") || IsSuccess(res, TransactionID{}, "secret") {
		t.Error("the response is not recognised, or another is")
	}
	if len(res) > len(req) {
		t.Errorf("a response of %d bytes to a request of %d", len(res), len(req))
	}
}

// Nothing that was changed on the way passes. The 8 bytes of the fingerprint protect against accidents only.
func TestChangedRequests(t *testing.T) {
	good := AppendRequest(nil, TransactionID{9}, "a:b", "secret", false)
	for i := range len(good) - 8 {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if r, ok := Parse(b); ok && r.Authentic("secret") {
				t.Fatalf("bit %d of byte %d changed, and it passes", bit, i)
			}
		}
		if r, ok := Parse(good[:i]); ok && r.Authentic("secret") {
			t.Fatalf("cut at %d, and it passes", i)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(fromHex(f, sample))
	f.Add(AppendRequest(nil, TransactionID{1}, strings.Repeat("u", 500), "p", true))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := Parse(b)
		if !ok {
			return
		}
		if len(r.Username) == 0 || len(r.Username) > usernameMax {
			t.Errorf("user name of %d bytes", len(r.Username))
		}
		r.Authentic("p")
		if res := AppendSuccess(nil, r.ID, netip.MustParseAddrPort("192.0.2.1:1"), "p"); len(res) > 72 {
			t.Errorf("a response of %d bytes", len(res))
		}
	})
}
