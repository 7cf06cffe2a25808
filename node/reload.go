package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"rotunda/control/api"
	"rotunda/node/acme"
	"rotunda/node/config"
	"rotunda/node/identity"
)

// Names of the certificates in rotunda_cert_expiry_timestamp_seconds.
const (
	certNode = "node" // tls.cert, shown to other nodes
	certWeb  = "web"  // http.cert or that of acme, shown to browsers
)

// Reload takes over what cfg, a configuration that config.Load returned, may change while the node runs, read from its files
// again: the certificates of its page and of the node, the authorities of the mesh, the keys of gossip and of tokens, the limits. Connections
// and sessions that are open go on with what they began with. On an error nothing has changed.
func (n *Node) Reload(cfg config.Config) error {
	id, err := identity.LoadNode(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key, time.Now())
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	if id.ID != n.cfg.ID || id.Region != n.cfg.Region {
		return fmt.Errorf("tls.cert: it is of node %s in %s, and this is %s in %s", id.ID, id.Region, n.cfg.ID, n.cfg.Region)
	}
	gossipKeys, err := identity.LoadGossipKeys(cfg.Gossip.KeyFile)
	if err != nil {
		return fmt.Errorf("gossip.key_file: %w", err)
	}
	k, err := loadKeys(cfg.Tokens)
	if err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	if k.signer == nil && (n.cfg.Tokens.Guests || n.cfg.OIDC.Issuer != "") {
		return errors.New("tokens.signing_key: guests and people who sign in need one as long as this node runs")
	}
	if n.cfg.HTTP.Cert != "" && cfg.HTTP.Cert != "" { // a door does not change between plain HTTP and TLS while it is open
		if err := n.loadWebCertificate(cfg.HTTP); err != nil {
			return err
		}
	}
	if _, err := apiLimits(cfg.Limits); err != nil {
		return err
	}
	if was := n.cfg.TLS; (cfg.TLS.Cert != was.Cert || cfg.TLS.Key != was.Key || cfg.TLS.CA != was.CA) && len(n.cfg.Log.Control)+len(n.cfg.Log.Endpoints) > 0 {
		n.logger.Warn("the control log goes on with the files that tls named at the start", "cert", was.Cert, "ca", was.CA)
	}
	return errors.Join(n.take(id, gossipKeys, k), n.takeLimits(cfg.Limits))
}

// takeLimits makes limits good, for whoever comes next.
func (n *Node) takeLimits(l config.Limits) error {
	limits, err := apiLimits(l)
	if err != nil {
		return err
	}
	n.limits.Store(&l)
	n.listeners.SetSessionsMax(l.Listeners)
	n.media.SetSessionsMax(l.Speakers)
	n.playersMax.Store(int32(l.Players))
	if door := n.door.Load(); door != nil {
		return door.SetLimits(limits)
	}
	return nil
}

// apiLimits are those that the API keeps.
func apiLimits(l config.Limits) (api.Limits, error) {
	out := api.Limits{Streams: l.AddressStreams, StreamsTotal: l.Streams}
	for _, r := range []struct {
		key  string
		from config.Rate
		to   *api.Rate
	}{
		{"sessions", l.Sessions, &out.Sessions}, {"reads", l.Reads, &out.Reads}, {"commands", l.Commands, &out.Commands},
		{"user_commands", l.UserCommands, &out.UserCommands}, {"guests", l.Guests, &out.Guests}, {"rooms", l.Rooms, &out.Rooms},
	} {
		var err error
		if r.to.PerSecond, r.to.Burst, err = r.from.Values(); err != nil {
			return out, fmt.Errorf("limits.%s: %w", r.key, err)
		}
	}
	return out, nil
}

// take makes what was read from files good. Nothing in it fails that was checked before.
func (n *Node) take(id *identity.Node, gossipKeys [][]byte, k keys) error {
	if err := n.mesh.SetIdentity(id.Certificate, id.Roots); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	n.identity.Store(id)
	n.metrics.CertExpiry.With(certNode).Set(unix(id.NotAfter()))
	if err := n.mesh.SetGossipKeys(gossipKeys); err != nil {
		return fmt.Errorf("gossip.key_file: %w", err)
	}
	n.keys.Store(&k)
	if door := n.door.Load(); door != nil {
		if err := door.SetKeys(k.keyring, k.signer); err != nil {
			return fmt.Errorf("tokens: %w", err)
		}
	}
	n.logger.Info("keys in use", "certificate", id.Fingerprint(), "good_until", id.NotAfter().UTC(), "gossip_keys", len(gossipKeys), "token_keys", k.ids)
	return nil
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

func (n *Node) openACME() (*acme.Manager, error) {
	c := n.cfg.ACME
	return acme.New(acme.Config{
		Hosts: c.Hosts, Email: c.Email, Directory: c.Directory, Roots: c.Roots, Folder: filepath.Join(n.cfg.Data, "acme"), Logger: n.logger,
		Got: func(until time.Time) { n.metrics.CertExpiry.With(certWeb).Set(unix(until)) },
	})
}

// webTLS is how the page's door speaks TLS: with the newest certificate. nil: it does not.
func (n *Node) webTLS() *tls.Config {
	switch {
	case n.acme != nil:
		return n.acme.TLS()
	case n.webCertificate.Load() == nil:
		return nil
	}
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
