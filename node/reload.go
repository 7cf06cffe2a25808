package node

import (
	"crypto/tls"
	"fmt"
	"time"

	"rotunda/node/config"
)

// Names of the certificates in rotunda_cert_expiry_timestamp_seconds.
const (
	certNode = "node" // tls.cert, shown to other nodes
	certWeb  = "web"  // http.cert, shown to browsers
)

// Reload takes over what cfg, a configuration that config.Load returned, may change while the node runs: the certificate of
// its page, read from its files again. Connections that are open go on with the one that they began with. On an error
// nothing has changed. It may be called concurrently.
func (n *Node) Reload(cfg config.Config) error {
	if n.cfg.HTTP.Cert == "" || cfg.HTTP.Cert == "" { // a door does not change between plain HTTP and TLS while it is open
		return nil
	}
	return n.loadWebCertificate(cfg.HTTP)
}

func (n *Node) loadWebCertificate(cfg config.HTTP) error {
	pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return fmt.Errorf("http.cert: %w", err)
	}
	n.webCertificate.Store(&pair)
	n.metrics.CertExpiry.With(certWeb).Set(unix(pair.Leaf.NotAfter))
	return nil
}

// webTLS is how the page's door speaks TLS: with the newest certificate.
func (n *Node) webTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.webCertificate.Load(), nil },
	}
}

// Reloaded tells the metrics how the last reload ended.
func (n *Node) Reloaded(err error) {
	if err != nil {
		n.metrics.ConfigGood.Set(0)
		return
	}
	n.metrics.ConfigGood.Set(1)
	n.metrics.ConfigLoaded.Set(unix(time.Now()))
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
