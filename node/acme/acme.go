// Package acme gets the page's certificates from an authority that speaks ACME (RFC 8555), Let's Encrypt or one's own. It proves the names by
// TLS-ALPN-01 (RFC 8737), within the page's own door: no other port and no other server.
//
// The invariant: an order goes out only from Run, one name after another, and less often each time it fails; no visitor causes one. Certificates
// and the account's key are kept in a folder, so that a restart asks for nothing. A Manager may be used concurrently; Run once.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

const (
	// lookEvery is how often it is looked whether the certificates were renewed; the library does that 30 days before they run out.
	lookEvery = time.Hour
	// againMin and againMax are how long after a failure the next order goes out: authorities bear five failures an hour.
	againMin = time.Minute
	againMax = time.Hour
	// answerMax bounds one request to the authority.
	answerMax = 30 * time.Second
)

// Config is what a Manager needs. Hosts and Folder are required.
type Config struct {
	Hosts     []string        // names to be certified
	Email     string          // of the account; "": none
	Directory string          // of the authority
	Roots     string          // PEM file of the authorities that its server is believed by; "": the system's
	Folder    string          // where certificates and the account's key are kept
	Got       func(time.Time) // until when the certificates are good, the first to run out; called from Run. nil: nobody hears
	Logger    *slog.Logger    // nil: silent
}

// Manager has the certificates.
type Manager struct {
	cfg      Config
	manager  *autocert.Manager
	client   *http.Client
	obtained atomic.Bool // every name has a certificate
}

// New reads the roots.
func New(cfg Config) (*Manager, error) {
	if len(cfg.Hosts) == 0 || cfg.Folder == "" {
		return nil, errors.New("acme: Hosts and Folder are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Got == nil {
		cfg.Got = func(time.Time) {}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.Roots != "" {
		roots, err := os.ReadFile(cfg.Roots)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(roots) {
			return nil, fmt.Errorf("%s has no certificate", cfg.Roots)
		}
	}
	m := &Manager{cfg: cfg, client: &http.Client{Timeout: answerMax, Transport: transport}}
	m.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(cfg.Folder), HostPolicy: autocert.HostWhitelist(cfg.Hosts...), Email: cfg.Email,
		Client: &acme.Client{DirectoryURL: cfg.Directory, HTTPClient: m.client, UserAgent: "rotunda"},
	}
	return m, nil
}

// TLS is how the page's door speaks TLS.
func (m *Manager) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1", acme.ALPNProto}, GetCertificate: m.certificate}
}

func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !m.obtained.Load() && !slices.Contains(hello.SupportedProtos, acme.ALPNProto) {
		return nil, errors.New("acme: no certificate yet") // a visitor's wish is no reason to order one
	}
	return m.manager.GetCertificate(hello)
}

// Run gets the certificates and keeps them fresh until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	under := m.client.Transport
	m.client.Transport = transport(func(q *http.Request) (*http.Response, error) { return under.RoundTrip(q.WithContext(ctx)) })
	again := againMin
	for {
		wait := lookEvery
		until, err := m.obtain()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			m.cfg.Logger.Warn("no certificate for the page", "error", err, "again_in", again)
			wait, again = again, min(2*again, againMax)
		default:
			if !m.obtained.Swap(true) {
				m.cfg.Logger.Info("certificate for the page", "hosts", m.cfg.Hosts, "good_until", until.UTC())
			}
			m.cfg.Got(until)
			again = againMin
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// obtain gets what is not there yet, and says when the first of them runs out.
func (m *Manager) obtain() (until time.Time, err error) {
	for _, host := range m.cfg.Hosts {
		c, err := m.manager.GetCertificate(&tls.ClientHelloInfo{
			ServerName: host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, // what every browser can: a key on P-256
		})
		if err != nil {
			return until, fmt.Errorf("%s: %w", host, err)
		}
		if until.IsZero() || c.Leaf.NotAfter.Before(until) {
			until = c.Leaf.NotAfter
		}
	}
	return until, nil
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(q *http.Request) (*http.Response, error) { return t(q) }
