package acme

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A visitor who comes before there is a certificate is turned away, and causes no order; Run orders, and ends when it is told to.
func TestVisitorsOrderNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int32
	authority := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		cancel()
		<-r.Context().Done() // it never answers
	}))
	defer authority.Close()
	m, err := New(Config{Hosts: []string{"fra-1.example.org"}, Directory: authority.URL, Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_, err := m.TLS().GetCertificate(&tls.ClientHelloInfo{ServerName: "fra-1.example.org", SupportedProtos: []string{"h2"}})
		if err == nil || !strings.Contains(err.Error(), "no certificate yet") {
			t.Fatalf("a visitor: %v", err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("visitors had the authority asked %d times", n)
	}
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("Run asked %d times", n)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []Config{{Folder: dir}, {Hosts: []string{"a.org"}}, {Hosts: []string{"a.org"}, Folder: dir, Roots: filepath.Join(dir, "none")}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v passed", c)
		}
	}
}
