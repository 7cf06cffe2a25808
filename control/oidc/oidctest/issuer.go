// Package oidctest is a small OpenID provider for tests: discovery, keys, a page to sign in at and a token endpoint that checks
// codes, clients and PKCE as a real one does, with real signatures. What it answers can be changed for one sign-in, to see it refused.
//
// Only tests import it. An Issuer may be used concurrently.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What the provider knows the mesh by.
const (
	ClientID     = "rotunda"
	ClientSecret = "s3cret"
)

// Issuer is the provider.
type Issuer struct {
	URL  string
	Away atomic.Bool // answers 503

	alg   string
	key   crypto.Signer
	asked atomic.Int32 // for the discovery document

	mu    sync.Mutex // guards the rest
	codes map[string]grant
	given int
	next  func(*Token) // for the next who signs in by the page
}

// Token is what the provider will answer for one code.
type Token struct {
	Claims  map[string]any
	Signer  *Issuer // whose key signs
	Alg     string  // "none" and "HS256" are what an attacker would try
	Cut     bool    // the signature is of nothing
	Missing bool    // no ID token
	Status  int     // other than 200
}

type grant struct {
	token     Token
	challenge string
	redirect  string
}

// New starts a provider that signs with alg: RS256 or ES256. It ends with the test.
func New(t testing.TB, alg string) *Issuer {
	t.Helper()
	s := &Issuer{alg: alg, codes: map[string]grant{}}
	var err error
	if alg == "ES256" {
		s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		s.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /keys", s.keys)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Asked is how often the discovery document was asked for, and Given how many tokens were handed out.
func (s *Issuer) Asked() int { return int(s.asked.Load()) }

// Given is how many tokens were handed out.
func (s *Issuer) Given() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// Authorize is what happens at the provider: the browser comes to location, the person signs in as Ada, and the browser goes
// back with state and code. edit changes what the code will be good for.
func (s *Issuer) Authorize(t testing.TB, location string, edit func(*Token)) (state, code string) {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state"), s.issue(u.Query(), edit)
}

// issue makes a code for Ada, who wants to go where the query says.
func (s *Issuer) issue(q url.Values, edit func(*Token)) (code string) {
	now := time.Now()
	k := Token{Signer: s, Claims: map[string]any{
		"iss": s.URL, "aud": ClientID, "sub": "248289761001", "nonce": q.Get("nonce"), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"name": "Ada Lovelace", "preferred_username": "ada",
	}}
	if edit != nil {
		edit(&k)
	}
	code = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = grant{k, q.Get("code_challenge"), q.Get("redirect_uri")}
	return code
}

// Next changes what the next code will be good for that somebody gets on the page.
func (s *Issuer) Next(edit func(*Token)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = edit
}

// authorize is the page where a person signs in, and the way back from it.
func (s *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || !back.IsAbs() || q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	to := url.Values{"state": {q.Get("state")}}
	switch q.Get("answer") {
	case "yes":
		s.mu.Lock()
		edit := s.next
		s.next = nil
		s.mu.Unlock()
		to.Set("code", s.issue(q, edit))
	case "no":
		to.Set("error", "access_denied")
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		here := html.EscapeString(r.URL.String())
		_, _ = io.WriteString(w, `<!DOCTYPE html><html lang="en"><title>Accounts</title><h1>Who are you?</h1>`+
			`<p><a href="`+here+`&amp;answer=yes">Continue as Ada Lovelace</a> <a href="`+here+`&amp;answer=no">Cancel</a></html>`)
		return
	}
	back.RawQuery = to.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the test sees what is missing
}

func (s *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	s.asked.Add(1)
	if s.Away.Load() {
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "away"})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "jwks_uri": s.URL + "/keys",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{s.alg, "HS256", "none"},
	})
}

// keys answers with the public key (RFC 7517, RFC 7518 §6).
func (s *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	b64 := base64.RawURLEncoding.EncodeToString
	key := map[string]string{"kid": "k1", "use": "sig", "alg": s.alg}
	switch k := s.key.Public().(type) {
	case *rsa.PublicKey:
		key["kty"], key["n"], key["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := k.Bytes() // SEC 1 §2.3.3: 4, x, y
		if err != nil {
			panic(err)
		}
		key["kty"], key["crv"], key["x"], key["y"] = "EC", "P-256", b64(raw[1:33]), b64(raw[33:])
	}
	answer(w, http.StatusOK, map[string]any{"keys": []any{key}})
}

// token trades a code for an ID token, once, with the client that it was given to and the verifier of its challenge.
func (s *Issuer) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != ClientID || secret != ClientSecret {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.codes[r.PostFormValue("code")]
	delete(s.codes, r.PostFormValue("code"))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge || r.PostFormValue("redirect_uri") != g.redirect {
		answer(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	if g.token.Status != 0 {
		answer(w, g.token.Status, map[string]string{"error": "broken"})
		return
	}
	s.given++
	body := map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60}
	if !g.token.Missing {
		body["id_token"] = g.token.sign()
	}
	answer(w, http.StatusOK, body)
}

// sign makes the ID token (RFC 7515).
func (k Token) sign() string {
	s, b64 := k.Signer, base64.RawURLEncoding.EncodeToString
	alg := s.alg
	if k.Alg != "" {
		alg = k.Alg
	}
	claims, err := json.Marshal(k.Claims)
	if err != nil {
		panic(err)
	}
	text := b64([]byte(`{"alg":"`+alg+`","kid":"k1"}`)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(text))
	var sig []byte
	switch {
	case k.Cut, alg == "none":
	case alg == "HS256":
		m := hmac.New(sha256.New, []byte(ClientSecret))
		m.Write([]byte(text))
		sig = m.Sum(nil)
	case alg == "ES256":
		x, y, err := ecdsa.Sign(rand.Reader, s.key.(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			panic(err)
		}
		sig = append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
	default:
		if sig, err = s.key.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
			panic(err)
		}
	}
	return text + "." + b64(sig)
}
