package nodecert_test

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"rotunda/cascade/nodecert"
	"rotunda/cascade/nodecert/certtest"
)

func TestVerify(t *testing.T) {
	ca, foreign := certtest.NewCA(), certtest.NewCA()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := nodecert.Identity{Region: "eu-west", ID: "eu-west-1"}
	long := strings.Repeat("x", 64)
	for name, c := range map[string]struct {
		uris  []string
		ca    *certtest.CA
		now   time.Time
		usage nodecert.Usage
		ok    bool
	}{
		"good":           {[]string{good.URI()}, ca, now, x509.ExtKeyUsageClientAuth, true},
		"wrong CA":       {[]string{good.URI()}, foreign, now, x509.ExtKeyUsageClientAuth, false},
		"expired":        {[]string{good.URI()}, ca, now.AddDate(100, 0, 0), x509.ExtKeyUsageClientAuth, false},
		"wrong usage":    {[]string{good.URI()}, ca, now, x509.ExtKeyUsageCodeSigning, false},
		"no URI":         {nil, ca, now, x509.ExtKeyUsageClientAuth, false},
		"two URIs":       {[]string{good.URI(), good.URI()}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"other domain":   {[]string{"spiffe://evil/node/eu-west/eu-west-1"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"port in domain": {[]string{"spiffe://rotunda:1/node/eu-west/eu-west-1"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"other kind":     {[]string{"spiffe://rotunda/user/eu-west/eu-west-1"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"escape":         {[]string{"spiffe://rotunda/node/eu%2dwest/eu-west-1"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"query":          {[]string{good.URI() + "?x"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"fragment":       {[]string{good.URI() + "#x"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"more path":      {[]string{good.URI() + "/x"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"less path":      {[]string{"spiffe://rotunda/node/eu-west"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"upper case":     {[]string{"spiffe://rotunda/node/EU-west/eu-west-1"}, ca, now, x509.ExtKeyUsageClientAuth, false},
		"long id":        {[]string{"spiffe://rotunda/node/eu-west/" + long}, ca, now, x509.ExtKeyUsageClientAuth, false},
	} {
		chain, err := nodecert.Parse(c.ca.Named(c.uris...).Certificate)
		if err != nil {
			t.Fatal(err)
		}
		got, err := nodecert.Verify(chain, ca.Roots(), c.now, c.usage)
		if c.ok && (err != nil || got != good) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, good)
		}
		if !c.ok && !errors.Is(err, nodecert.ErrNotMember) {
			t.Errorf("%s: %v, %v; want ErrNotMember", name, got, err)
		}
	}
	if _, err := nodecert.Verify(nil, ca.Roots(), now, x509.ExtKeyUsageClientAuth); !errors.Is(err, nodecert.ErrNotMember) {
		t.Errorf("empty chain: %v, want ErrNotMember", err)
	}
}
