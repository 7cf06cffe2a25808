package token_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/token"
)

var (
	now   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	key   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	other = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	pub   = key.Public().(ed25519.PublicKey)
	ada   = token.Claims{
		User: "g_ada", Name: "Ada Lovelace", Room: "k3v9", Role: rotunda.Speaker, ID: "t1",
		Issued: now.Add(-time.Minute), Expires: now.Add(time.Hour),
	}
)

func ring(t testing.TB) *token.Keyring {
	t.Helper()
	k, err := token.NewKeyring(map[string]ed25519.PublicKey{"k1": pub, "k2": other.Public().(ed25519.PublicKey)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mint(t testing.TB, c token.Claims) string {
	t.Helper()
	s, err := token.NewSigner("k1", key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Mint(c)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signed makes a token of any header and payload, with a signature that is right for them.
func signed(header, payload string) string {
	text := b64(header) + "." + b64(payload)
	return text + "." + b64(string(ed25519.Sign(key, []byte(text))))
}

const goodHeader = `{"alg":"EdDSA","kid":"k1","typ":"JWT"}`

// payload is the good payload with members replaced (a value of "" takes the member away).
func payload(change map[string]string) string {
	m := map[string]string{
		"iss": `"rotunda"`, "aud": `"rotunda"`, "sub": `"g_ada"`, "jti": `"t1"`, "name": `"Ada"`, "room": `"k3v9"`, "role": `"speaker"`,
		"exp": fmt.Sprint(now.Unix() + 3600), "iat": fmt.Sprint(now.Unix() - 60),
	}
	for name, v := range change {
		if m[name] = v; v == "" {
			delete(m, name)
		}
	}
	raw := map[string]json.RawMessage{}
	for name, v := range m {
		raw[name] = json.RawMessage(v)
	}
	b, err := json.Marshal(raw)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func with(name, value string) string {
	return signed(goodHeader, payload(map[string]string{name: value}))
}

func at(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }

func TestGoodTokens(t *testing.T) {
	k := ring(t)
	got, err := k.Check(now, mint(t, ada))
	if err != nil || got != ada {
		t.Errorf("Check(Mint(ada)) = %+v, %v, want %+v", got, err, ada)
	}
	for what, raw := range map[string]string{
		"made by hand":             signed(goodHeader, payload(nil)),
		"audience in a list":       with("aud", `["elsewhere","rotunda"]`),
		"no room, role, name, iat": signed(goodHeader, payload(map[string]string{"room": "", "role": "", "name": "", "iat": ""})),
		"expired within leeway":    with("exp", at(-29*time.Second)),
		"issued within leeway":     with("iat", at(29*time.Second)),
		"nbf within leeway":        with("nbf", at(29*time.Second)),
		"fraction of a second":     with("exp", at(time.Minute)+".25"),
		"other claims of others":   with("org", `{"team":["a","b"]}`),
		"family emoji in the name": with("name", `"Ada 👩‍👧"`),
		"Persian joiner in a name": with("name", `"علی‌رضا"`),
	} {
		if c, err := k.Check(now, raw); err != nil || c.User != "g_ada" {
			t.Errorf("%s: Check = %+v, %v", what, c, err)
		}
	}
}

// goals.md: 40 kinds of bad tokens, 0 accepted.
func TestBadTokens(t *testing.T) {
	k := ring(t)
	good := mint(t, ada)
	part := strings.Split(good, ".")
	sig, _ := base64.RawURLEncoding.DecodeString(part[2])
	hs := func(header string, secret []byte) string {
		text := b64(header) + "." + b64(payload(nil))
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(text))
		return text + "." + b64(string(m.Sum(nil)))
	}
	header := func(h string) string { return signed(h, payload(nil)) }
	bad := map[string]string{
		"empty":                       "",
		"one dot":                     "a.b",
		"only dots":                   "..",
		"a megabyte of dots":          strings.Repeat(".", 1<<20),
		"oversized":                   with("org", `"`+strings.Repeat("x", token.SizeMax)+`"`),
		"four parts":                  good + ".e30",
		"five parts (JWE)":            good + ".e30.e30",
		"trailing newline":            good + "\n",
		"newline inside":              part[0] + ".\n" + part[1] + "." + part[2],
		"leading space":               " " + good,
		"trailing bytes":              good + "AAAA",
		"padding":                     good + "==",
		"Bearer kept":                 "Bearer " + good,
		"standard alphabet":           part[0] + "." + part[1] + "." + strings.Repeat("+", 86),
		"loose last bits":             good[:len(good)-1] + next(good[len(good)-1]),
		"alg none, no signature":      b64(`{"alg":"none","kid":"k1","typ":"JWT"}`) + "." + part[1] + ".",
		"alg none, signature kept":    b64(`{"alg":"none","kid":"k1","typ":"JWT"}`) + "." + part[1] + "." + part[2],
		"alg None":                    header(`{"alg":"None","kid":"k1","typ":"JWT"}`),
		"alg HS256 by the public key": hs(`{"alg":"HS256","kid":"k1","typ":"JWT"}`, pub),
		"alg HS256 by its hex":        hs(`{"alg":"HS256","kid":"k1","typ":"JWT"}`, []byte(hex.EncodeToString(pub))),
		"EdDSA header, HMAC inside":   hs(goodHeader, pub),
		"alg RS256":                   header(`{"alg":"RS256","kid":"k1","typ":"JWT"}`),
		"alg ES256":                   header(`{"alg":"ES256","kid":"k1","typ":"JWT"}`),
		"alg PS256":                   header(`{"alg":"PS256","kid":"k1","typ":"JWT"}`),
		"alg eddsa":                   header(`{"alg":"eddsa","kid":"k1","typ":"JWT"}`),
		"alg Ed448":                   header(`{"alg":"Ed448","kid":"k1","typ":"JWT"}`),
		"alg missing":                 header(`{"kid":"k1","typ":"JWT"}`),
		"alg a list":                  header(`{"alg":["EdDSA"],"kid":"k1","typ":"JWT"}`),
		"alg twice":                   header(`{"alg":"none","alg":"EdDSA","kid":"k1","typ":"JWT"}`),
		"kid unknown":                 header(`{"alg":"EdDSA","kid":"k9","typ":"JWT"}`),
		"kid of another key":          header(`{"alg":"EdDSA","kid":"k2","typ":"JWT"}`),
		"kid missing":                 header(`{"alg":"EdDSA","typ":"JWT"}`),
		"kid empty":                   header(`{"alg":"EdDSA","kid":"","typ":"JWT"}`),
		"kid a path":                  header(`{"alg":"EdDSA","kid":"../../dev/null","typ":"JWT"}`),
		"kid a number":                header(`{"alg":"EdDSA","kid":1,"typ":"JWT"}`),
		"typ missing":                 header(`{"alg":"EdDSA","kid":"k1"}`),
		"typ another":                 header(`{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}`),
		"jku":                         header(`{"alg":"EdDSA","kid":"k1","typ":"JWT","jku":"https://evil.example/k"}`),
		"jwk":                         header(`{"alg":"EdDSA","kid":"k1","typ":"JWT","jwk":{"kty":"OKP","crv":"Ed25519","x":"` + b64(string(other.Public().(ed25519.PublicKey))) + `"}}`),
		"x5u":                         header(`{"alg":"EdDSA","kid":"k1","typ":"JWT","x5u":"https://evil.example/c"}`),
		"crit":                        header(`{"alg":"EdDSA","kid":"k1","typ":"JWT","crit":["b64"],"b64":false}`),
		"zip":                         header(`{"alg":"EdDSA","kid":"k1","typ":"JWT","zip":"DEF"}`),
		"nested (cty)":                signed(`{"alg":"EdDSA","kid":"k1","typ":"JWT","cty":"JWT"}`, good),
		"token as payload":            signed(goodHeader, good),
		"header not JSON":             header(`alg=EdDSA`),
		"header an array":             header(`["EdDSA"]`),
		"header null":                 header(`null`),
		"bytes after the header":      header(goodHeader + `{}`),
		"newline after the header":    header(goodHeader + "\n"),
		"payload empty":               signed(goodHeader, ``),
		"payload an array":            signed(goodHeader, `[]`),
		"payload cut":                 signed(goodHeader, strings.TrimSuffix(payload(nil), "}")),
		"bytes after the payload":     signed(goodHeader, payload(nil)+`{"role":"host"}`),
		"not UTF-8":                   signed(goodHeader, strings.Replace(payload(nil), "Ada", "A\xff", 1)),
		"nested too deep":             with("org", strings.Repeat("[", 20)+strings.Repeat("]", 20)),
		"sub twice":                   signed(goodHeader, strings.Replace(payload(nil), `{`, `{"sub":"g_eve",`, 1)),
		"role twice":                  signed(goodHeader, strings.Replace(payload(nil), `{`, `{"role":"host",`, 1)),
		"exp twice":                   signed(goodHeader, strings.Replace(payload(nil), `{`, `{"exp":9999999999,`, 1)),
		"sub twice, escaped":          signed(goodHeader, strings.Replace(payload(nil), `{`, `{"\u0073ub":"g_eve",`, 1)),
		"iss missing":                 with("iss", ""),
		"iss another":                 with("iss", `"rotunda.evil"`),
		"iss a list":                  with("iss", `["rotunda"]`),
		"aud missing":                 with("aud", ""),
		"aud another":                 with("aud", `"other"`),
		"aud empty list":              with("aud", `[]`),
		"aud in other case":           with("aud", `"Rotunda"`),
		"expired":                     with("exp", at(-31*time.Second)),
		"expired at the leeway":       with("exp", at(-30*time.Second)),
		"exp missing":                 with("exp", ""),
		"exp null":                    with("exp", `null`),
		"exp zero":                    with("exp", `0`),
		"exp negative":                with("exp", `-1`),
		"exp a text":                  with("exp", `"9999999999"`),
		"exp past the year 9999":      with("exp", `253402300800`),
		"exp 1e300":                   with("exp", `1e300`),
		"exp in milliseconds":         with("exp", fmt.Sprint(now.UnixMilli())),
		"iat ahead":                   with("iat", at(31*time.Second)),
		"iat a text":                  with("iat", `"now"`),
		"nbf ahead":                   with("nbf", at(31*time.Second)),
		"nbf a list":                  with("nbf", `[1]`),
		"sub missing":                 with("sub", ""),
		"sub empty":                   with("sub", `""`),
		"sub a path":                  with("sub", `"../etc"`),
		"sub with a space":            with("sub", `"g ada"`),
		"sub with a newline":          with("sub", `"g_ada\n"`),
		"sub too long":                with("sub", `"`+strings.Repeat("a", 65)+`"`),
		"sub a number":                with("sub", `7`),
		"sub null":                    with("sub", `null`),
		"jti missing":                 with("jti", ""),
		"jti empty":                   with("jti", `""`),
		"jti too long":                with("jti", `"`+strings.Repeat("a", 65)+`"`),
		"role absurd":                 with("role", `"god"`),
		"role in other case":          with("role", `"Host"`),
		"role empty":                  with("role", `""`),
		"role a number":               with("role", `4`),
		"role a list":                 with("role", `["host"]`),
		"room a path":                 with("room", `"../k3v9"`),
		"room empty":                  with("room", `""`),
		"room a list":                 with("room", `["k3v9"]`),
		"room a wildcard":             with("room", `"*"`),
		"name too long":               with("name", `"`+strings.Repeat("é", 65)+`"`),
		"name with a newline":         with("name", `"Ada\nHost"`),
		"name with a bidi override":   with("name", `"Ada\u202etsoh"`),
		"name with zero width":        with("name", `"A\u200bda"`),
		"signature missing":           part[0] + "." + part[1] + ".",
		"signature short":             part[0] + "." + part[1] + "." + b64(string(sig[:63])),
		"signature long":              part[0] + "." + part[1] + "." + b64(string(sig)+"\x00"),
		"signature of zeros":          part[0] + "." + part[1] + "." + b64(strings.Repeat("\x00", 64)),
		"signature with S + L":        part[0] + "." + part[1] + "." + b64(string(addOrder(sig))),
		"signature of another token":  part[0] + "." + b64(payload(nil)) + "." + part[2],
		"one bit of the payload":      part[0] + "." + b64(strings.Replace(payload(nil), "ada", "adb", 1)) + "." + part[2],
	}
	if len(bad) < 40 {
		t.Fatalf("only %d kinds", len(bad))
	}
	accepted := 0
	for what, raw := range bad {
		c, err := k.Check(now, raw)
		if err == nil {
			accepted++
			t.Errorf("%s: accepted as %+v", what, c)
		}
		if c != (token.Claims{}) {
			t.Errorf("%s: refused, but says %+v", what, c)
		}
		if errors.Is(err, token.ErrExpired) == errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v wraps both or neither", what, err)
		}
		if wantExpired := what == "expired" || what == "expired at the leeway"; wantExpired != errors.Is(err, token.ErrExpired) {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Logf("bad tokens: %d kinds, %d accepted, target 0", len(bad), accepted)
}

// next is the base64url character after c: with 64 bytes the last character carries two bits and four that must be zero.
func next(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

// addOrder makes another encoding of the same Ed25519 signature: S + L (RFC 8032 §5.1.7 forbids it).
func addOrder(sig []byte) []byte {
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	out := bytes.Clone(sig)
	carry := 0
	for i, b := range order {
		sum := int(out[32+i]) + int(b) + carry
		out[32+i], carry = byte(sum), sum>>8
	}
	return out
}

func TestTokenOfAnotherRoom(t *testing.T) {
	if err := ada.For("k3v9"); err != nil {
		t.Errorf("For its own room = %v", err)
	}
	if err := ada.For("k3v8"); !errors.Is(err, token.ErrWrongRoom) {
		t.Errorf("For another room = %v, want ErrWrongRoom", err)
	}
	anywhere := ada
	anywhere.Room = ""
	if err := anywhere.For("k3v8"); err != nil {
		t.Errorf("token without a room: For = %v", err)
	}
}

func TestMintRefusesWhatCheckWould(t *testing.T) {
	s, err := token.NewSigner("k1", key)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*token.Claims){
		"user":   func(c *token.Claims) { c.User = "" },
		"room":   func(c *token.Claims) { c.Room = "a/b" },
		"role":   func(c *token.Claims) { c.Role = "owner" },
		"name":   func(c *token.Claims) { c.Name = "a\u2066b" },
		"id":     func(c *token.Claims) { c.ID = "" },
		"expiry": func(c *token.Claims) { c.Expires = time.Time{} },
	} {
		c := ada
		change(&c)
		if raw, err := s.Mint(c); err == nil {
			t.Errorf("bad %s: minted %s", what, raw)
		}
	}
}

func TestKeysAreChecked(t *testing.T) {
	if _, err := token.NewSigner("k 1", key); err == nil {
		t.Error("a kid with a space was taken")
	}
	if _, err := token.NewSigner("k1", key[:32]); err == nil {
		t.Error("half a key was taken")
	}
	if _, err := token.NewKeyring(map[string]ed25519.PublicKey{"k1": pub[:31]}); err == nil {
		t.Error("a short public key was taken")
	}
	if _, err := token.NewKeyring(map[string]ed25519.PublicKey{"": pub}); err == nil {
		t.Error("an empty kid was taken")
	}
	empty, err := token.NewKeyring(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Check(now, mint(t, ada)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("an empty ring: %v, want ErrInvalid", err)
	}
}

func TestSignerKeepsItsSecret(t *testing.T) {
	s, err := token.NewSigner("k1", key)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, s); got != "signer k1" {
			t.Errorf("Sprintf(%q) = %q", verb, got)
		}
	}
}

// The example of RFC 8037 appendix A.3.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	x, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := token.KeyID(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("KeyID = %s, want %s", got, want)
	}
}

// T5: refusing costs no more memory than about the input's own length.
func TestRefusingIsCheap(t *testing.T) {
	k := ring(t)
	huge := strings.Repeat(".", 1<<20)
	if n := testing.AllocsPerRun(20, func() { _, _ = k.Check(now, huge) }); n > 8 {
		t.Errorf("a megabyte of dots: %v allocations, want a handful", n)
	}
}

func FuzzCheck(f *testing.F) {
	k := ring(f)
	for _, raw := range []string{
		mint(f, ada), mint(f, ada) + "\n", signed(goodHeader, payload(nil)), with("sub", `"x\u0000"`), "..", "e30.e30.", with("aud", `[["rotunda"]]`),
	} {
		f.Add(raw, false)
	}
	f.Add(payload(nil), true)
	f.Add(payload(map[string]string{"exp": "1e999", "nbf": "-0"}), true)
	f.Fuzz(func(t *testing.T, raw string, sign bool) {
		if sign { // reach past the signature
			raw = signed(goodHeader, raw)
		}
		c, err := k.Check(now, raw)
		if err != nil {
			if c != (token.Claims{}) {
				t.Errorf("refused, but says %+v", c)
			}
			return
		}
		if strings.Count(raw, ".") != 2 || len(raw) > token.SizeMax || c.Expires.Before(now.Add(-token.Leeway)) || c.User.Valid() != nil {
			t.Errorf("accepted %q as %+v", raw, c)
		}
		// Whatever Check accepts, Mint could have made.
		again, err := k.Check(now, mint(t, c))
		if err != nil || again != c {
			t.Errorf("minted again: %+v, %v, want %+v", again, err, c)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	k, raw := ring(b), mint(b, ada)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Check(now, raw); err != nil {
			b.Fatal(err)
		}
	}
}
