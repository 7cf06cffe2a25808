package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"rotunda"
)

// wanDelayMax bounds a configured one-way delay: four times what a geostationary satellite adds.
const wanDelayMax = 2 * time.Second

// labelLenMax is memberlist's bound of half a label, and plenty.
const labelLenMax = 64

// Validate reports every problem of c, which must have its defaults; nil or Problems. It does not look at the files that c
// names (Load does).
func (c *Config) Validate() error { return c.check().err() }

// checker gathers problems by key.
type checker struct{ problems Problems }

func (k *checker) fail(key, format string, a ...any) {
	k.problems = append(k.problems, Problem{Key: key, Text: fmt.Sprintf(format, a...)})
}

func (c Config) check() Problems {
	k := &checker{}
	k.name("id", string(c.ID), c.ID.Valid(), "the name of this node")
	k.name("region", string(c.Region), c.Region.Valid(), `where this node stands, for example "eu-west"`)
	if c.Host != "" && strings.ContainsAny(c.Host, "/ \t") {
		k.fail("host", "%.80q is neither a host name nor an IP address", c.Host)
	}
	c.checkHTTP(k)
	c.checkACME(k)
	c.checkPorts(k)
	c.checkLog(k)
	c.checkSecrets(k)
	c.checkOIDC(k)
	c.checkTURN(k)
	c.checkLimits(k)
	for _, region := range slices.Sorted(maps.Keys(c.WAN)) {
		key := "wan." + string(region)
		if err := region.Valid(); err != nil {
			k.fail(key, "%v", err)
		}
		if d := c.WAN[region]; d < 0 || d > wanDelayMax {
			k.fail(key, "%v is not between 0 and %v", d, wanDelayMax)
		}
	}
	k.oneOf("cascade.hitless", c.Cascade.Hitless, "program", "off")
	k.oneOf("log_level", c.LogLevel, "debug", "info", "warn", "error")
	k.oneOf("log_format", c.LogFormat, "auto", "text", "json")
	return k.problems
}

func (c *Config) checkHTTP(k *checker) {
	k.listen("http.listen", c.HTTP.Listen)
	for i, s := range c.HTTP.TrustedProxies {
		if _, err := proxy(s); err != nil {
			k.fail(fmt.Sprintf("http.trusted_proxies[%d]", i), "%v", err)
		}
	}
	if (c.HTTP.Cert == "") != (c.HTTP.Key == "") {
		k.fail("http.cert", "http.cert and http.key go together: one is missing")
	}
	if c.HTTP.URL == "" {
		k.fail("http.url", "needed, or host: how browsers reach this node")
		return
	}
	u, err := url.Parse(c.HTTP.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Trim(u.Path, "/") != "" {
		k.fail("http.url", "%.80q is not like https://node.example.org", c.HTTP.URL)
	}
}

func (c *Config) checkACME(k *checker) {
	k.url("acme.directory", c.ACME.Directory)
	if len(c.ACME.Hosts) == 0 {
		if c.ACME.Email != "" || c.ACME.Roots != "" {
			k.fail("acme.hosts", "needed: without names there is nothing to certify")
		}
		return
	}
	if c.HTTP.Cert != "" {
		k.fail("acme.hosts", "the page's certificate comes from http.cert or by ACME, not both")
	}
	for i, host := range c.ACME.Hosts {
		if !strings.Contains(host, ".") || strings.ContainsAny(host, "/:* \t") || strings.ToLower(host) != host || strings.Trim(host, ".") != host {
			k.fail(fmt.Sprintf("acme.hosts[%d]", i), "%.80q is not a name like fra-1.example.org", host)
		} else if _, err := netip.ParseAddr(host); err == nil {
			k.fail(fmt.Sprintf("acme.hosts[%d]", i), "%s is an address; names are certified", host)
		}
	}
	if u, err := url.Parse(c.HTTP.URL); err == nil && u.Host != "" && !slices.Contains(c.ACME.Hosts, u.Hostname()) {
		k.fail("acme.hosts", "%.80s, where browsers go (http.url), is not among them", u.Hostname())
	}
	if c.ACME.Roots != "" {
		k.file("acme.roots", c.ACME.Roots, "")
	}
}

func (c *Config) checkPorts(k *checker) {
	k.listen("media.listen", c.Media.Listen)
	k.listen("cascade.listen", c.Cascade.Listen)
	k.listen("gossip.listen", c.Gossip.Listen)
	k.listen("admin.listen", c.Admin.Listen)
	if c.Admin.MetricsListen != "" {
		k.listen("admin.metrics_listen", c.Admin.MetricsListen)
	}
	for i, a := range c.Media.Advertise {
		if _, err := netip.ParseAddr(a); err == nil {
			continue
		}
		if ap, err := netip.ParseAddrPort(a); err != nil || ap.Port() == 0 {
			k.fail(fmt.Sprintf("media.advertise[%d]", i), "%.80q is neither an IP address nor one with a port", a)
		}
	}
	k.reach("cascade.advertise", c.Cascade.Advertise)
	k.reach("gossip.advertise", c.Gossip.Advertise)
	for i, seed := range c.Gossip.Seeds {
		k.reach(fmt.Sprintf("gossip.seeds[%d]", i), seed)
	}
	used := map[string]string{} // two sockets of one kind on one address cannot both be had
	for _, socket := range []struct{ key, network, address string }{
		{"http.listen", "tcp", c.HTTP.Listen}, {"gossip.listen", "tcp", c.Gossip.Listen}, {"admin.listen", "tcp", c.Admin.Listen},
		{"admin.metrics_listen", "tcp", c.Admin.MetricsListen},
		{"log.listen_peer", "tcp", c.Log.ListenPeer}, {"log.listen_client", "tcp", c.Log.ListenClient},
		{"media.listen", "udp", c.Media.Listen}, {"cascade.listen", "udp", c.Cascade.Listen}, {"gossip.listen", "udp", c.Gossip.Listen},
	} {
		if socket.address == "" || strings.HasSuffix(socket.address, ":0") {
			continue
		}
		if other, taken := used[socket.network+socket.address]; taken {
			k.fail(socket.key, "%q is the address of %s as well", socket.address, other)
		}
		used[socket.network+socket.address] = socket.key
	}
}

func (c *Config) checkLog(k *checker) {
	switch n := len(c.Log.Control); {
	case n > 0 && len(c.Log.Endpoints) > 0:
		k.fail("log.endpoints", "excludes log.control: the log is kept by nodes or by your own etcd")
	case n != 0 && n != 1 && n != 3 && n != 5 && n != 7:
		k.fail("log.control", "%d nodes: one, three, five or seven keep a log; an even number survives no more failures than one less", n)
	}
	seen := map[rotunda.NodeID]bool{}
	for i, n := range c.Log.Control {
		key := fmt.Sprintf("log.control[%d]", i)
		if err := n.ID.Valid(); err != nil {
			k.fail(key+".id", "%v", err)
		} else if seen[n.ID] {
			k.fail(key+".id", "%q is in the list twice", n.ID)
		}
		seen[n.ID] = true
		if len(c.Log.Control) > 1 || n.Peer != "" {
			k.reach(key+".peer", n.Peer)
		}
		k.reach(key+".client", n.Client)
	}
	for i, e := range c.Log.Endpoints {
		k.reach(fmt.Sprintf("log.endpoints[%d]", i), e)
	}
	if c.Log.ListenPeer != "" {
		k.listen("log.listen_peer", c.Log.ListenPeer)
	}
	if c.Log.ListenClient != "" {
		k.listen("log.listen_client", c.Log.ListenClient)
	}
}

// checkSecrets refuses to run a node that anybody could join or talk to.
func (c *Config) checkSecrets(k *checker) {
	k.file("gossip.key_file", c.Gossip.KeyFile, "gossip is never sent in clear (make one with: rotunda keygen gossip)")
	if c.Gossip.Label == "" {
		k.fail("gossip.label", "needed: the name of the mesh, so that two meshes never mix")
	} else if len(c.Gossip.Label) > labelLenMax || strings.ContainsFunc(c.Gossip.Label, func(r rune) bool { return !unicode.IsPrint(r) }) {
		k.fail("gossip.label", "not 1 to %d printable characters", labelLenMax)
	}
	const made = "nodes talk to each other by mutual TLS only (make one with: rotunda certs)"
	k.file("tls.ca", c.TLS.CA, made)
	k.file("tls.cert", c.TLS.Cert, made)
	k.file("tls.key", c.TLS.Key, made)
	if c.TLS.Region != "" {
		k.file("tls.region", c.TLS.Region, "")
	}
	if c.HTTP.Key != "" {
		k.file("http.key", c.HTTP.Key, "")
	}
	switch {
	case c.Tokens.SigningKey != "":
		k.file("tokens.signing_key", c.Tokens.SigningKey, "")
	case c.Tokens.Guests:
		k.fail("tokens.signing_key", "needed, since tokens.guests is on: guests' tokens are signed with it (make one with: rotunda keygen token)")
	case len(c.Tokens.Verify) == 0:
		k.fail("tokens.verify", "needed, or tokens.signing_key: without a key no token can be accepted (make one with: rotunda keygen token)")
	}
	k.oneOf("tokens.create_rooms", c.Tokens.CreateRooms, "everyone", "accounts", "scope")
	if c.Tokens.CreateRooms == "accounts" && c.OIDC.Issuer == "" {
		k.fail("tokens.create_rooms", "accounts: needs oidc.issuer, where the accounts are (scope: only tokens with room:create)")
	}
	for i, name := range c.Tokens.Verify {
		k.file(fmt.Sprintf("tokens.verify[%d]", i), name, "")
	}
}

// limitMax bounds each of the limits that count something: more has no machine.
const limitMax = 1_000_000

func (c *Config) checkLimits(k *checker) {
	for _, f := range leaves(reflect.ValueOf(&c.Limits).Elem(), "limits.") {
		switch v := f.value.Interface().(type) {
		case int:
			if v < 1 || v > limitMax {
				k.fail(f.key, "%d is not between 1 and %d", v, limitMax)
			}
		case Rate:
			if _, _, err := v.Values(); err != nil {
				k.fail(f.key, "%v", err)
			}
		}
	}
}

func (c *Config) checkTURN(k *checker) {
	t := c.TURN
	k.file("turn.secret_file", t.SecretFile, "")
	k.file("turn.password_file", t.PasswordFile, "")
	for i, s := range t.URLs {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "turn" && u.Scheme != "turns" || u.Opaque == "" || strings.ContainsAny(s, "<>\" \t") {
			k.fail(fmt.Sprintf("turn.urls[%d]", i), "%.80q is not like turns:turn.example.org:443?transport=tcp", s)
		}
	}
	shared, fixed := t.SecretFile != "", t.Username != "" || t.PasswordFile != ""
	switch {
	case len(t.URLs) == 0 && (shared || fixed):
		k.fail("turn.urls", "needed: without relays there is nothing to sign in to")
	case len(t.URLs) == 0:
	case shared == fixed:
		k.fail("turn.secret_file", "needed, or username and password_file: one of both, since a relay for everybody is everybody's")
	case fixed && (t.Username == "" || t.PasswordFile == ""):
		k.fail("turn.username", "turn.username and turn.password_file go together: one is missing")
	case strings.ContainsAny(t.Username, "\"\\"):
		k.fail("turn.username", "it has a quote or a backslash in it")
	}
}

func (c *Config) checkOIDC(k *checker) {
	o := c.OIDC
	if o.Issuer == "" {
		for key, set := range map[string]bool{
			"oidc.client_id": o.ClientID != "", "oidc.client_secret_file": o.ClientSecretFile != "", "oidc.redirect_url": o.RedirectURL != "",
			"oidc.scopes": len(o.Scopes) > 0,
		} {
			if set {
				k.fail(key, "does nothing without oidc.issuer")
			}
		}
		return
	}
	k.url("oidc.issuer", o.Issuer)
	k.url("oidc.redirect_url", o.RedirectURL)
	if o.ClientID == "" {
		k.fail("oidc.client_id", "needed: who the mesh is to the provider")
	}
	if o.ClientSecretFile != "" {
		k.file("oidc.client_secret_file", o.ClientSecretFile, "")
	}
	if c.Tokens.SigningKey == "" {
		k.fail("tokens.signing_key", "needed, since oidc.issuer is set: the tokens of people who sign in are signed with it (make one with: rotunda keygen token)")
	}
}

// url checks an address that browsers or this node go to.
func (k *checker) url(key, raw string) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		k.fail(key, "%.80q is not like https://accounts.example.org", raw)
	}
}

func (k *checker) name(key, value string, err error, what string) {
	if value == "" {
		k.fail(key, "needed: %s", what)
	} else if err != nil {
		k.fail(key, "%.80q: 1 to 63 of a–z, 0–9 and '-'", value)
	}
}

// listen checks an address to listen on.
func (k *checker) listen(key, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		k.fail(key, "%.80q is not host:port or :port", address)
		return
	}
	if host != "" && host != "localhost" {
		if _, err := netip.ParseAddr(host); err != nil {
			k.fail(key, "%.80q is not an IP address of this machine", host)
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		k.fail(key, "port %.20q is not between 0 and 65535", port)
	}
}

// reach checks an address that others connect to.
func (k *checker) reach(key, address string) {
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case address == "":
		k.fail(key, "needed, or host: the host:port that others connect to")
	case err != nil || host == "":
		k.fail(key, "%.80q is not host:port", address)
	case portErr != nil || n == 0:
		k.fail(key, "port %.20q is not between 1 and 65535", port)
	}
}

func (k *checker) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		k.fail(key, "%.40q is none of %s", value, strings.Join(allowed, ", "))
	}
}

// file checks the name of a file; why says what it is needed for, "" where it may be absent.
func (k *checker) file(key, name, why string) {
	switch {
	case name == "" && why != "":
		k.fail(key, "needed: %s", why)
	case inlineSecret(name):
		k.fail(key, "takes the name of a file, never a key itself")
	}
}

// inlineSecret reports whether somebody put a key where the name of its file belongs: such a text is never shown.
func inlineSecret(name string) bool {
	if strings.Contains(name, "-----BEGIN") || strings.Contains(name, "\n") {
		return true
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(name))
	return err == nil && len(raw) >= 32 && !strings.HasPrefix(name, "/")
}

// checkFiles looks whether the files that c names can be read, and whether the secret ones are secret.
func (c Config) checkFiles() Problems {
	k := &checker{}
	look := func(key, name string, secret bool) {
		if name == "" || inlineSecret(name) {
			return
		}
		f, err := os.Open(name)
		if err != nil {
			var bare *fs.PathError // says the name, which we say ourselves, and the system call, which helps nobody
			if errors.As(err, &bare) {
				err = bare.Err
			}
			k.fail(key, "%s: %v", name, err)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		switch {
		case err != nil:
			k.fail(key, "%v", err)
		case info.IsDir():
			k.fail(key, "%s is a folder", name)
		case secret && !secretEnough(info.Mode()):
			k.fail(key, "%s can be read by others than its owner (mode %04o): chmod 600 %s", name, info.Mode().Perm(), filepath.Base(name))
		}
	}
	look("http.cert", c.HTTP.Cert, false)
	look("http.key", c.HTTP.Key, true)
	look("acme.roots", c.ACME.Roots, false)
	look("gossip.key_file", c.Gossip.KeyFile, true)
	look("tls.ca", c.TLS.CA, false)
	look("tls.cert", c.TLS.Cert, false)
	look("tls.key", c.TLS.Key, true)
	look("tls.region", c.TLS.Region, true)
	look("tokens.signing_key", c.Tokens.SigningKey, true)
	look("oidc.client_secret_file", c.OIDC.ClientSecretFile, true)
	look("turn.secret_file", c.TURN.SecretFile, true)
	look("turn.password_file", c.TURN.PasswordFile, true)
	for i, name := range c.Tokens.Verify {
		look(fmt.Sprintf("tokens.verify[%d]", i), name, false)
	}
	return k.problems
}

// secretEnough reports whether a secret file's mode keeps others out. A group may read it (mode 0640): that is how
// Kubernetes and configuration management hand secrets to a process that does not own them.
func secretEnough(mode fs.FileMode) bool { return mode.Perm()&0o037 == 0 }
