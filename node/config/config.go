// Package config is the configuration of a node: what can be set, what it is when it is not, and what is wrong with it.
// The Config type is the manual: each field says its key in the file, its meaning and its default, and its tags give an
// example and whether a reload takes a new value over; docs/reference/config.md is made of it (make reference).
//
// A value comes, in this order, from a flag (--http-listen), the environment (ROTUNDA_HTTP_LISTEN), the file (key listen
// under http), or the default. Secrets are always named by file, never given as values. Load reports every problem at
// once; a Config that it returned can be run as it is. Nothing here is safe to change concurrently.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"rotunda"
)

// Config is everything a node can be told. The zero value of a field means its documented default; a relative file name
// is taken from the folder of the configuration file.
type Config struct {
	// ID (id) names the node in the mesh, for ever: a–z, 0–9 and '-'. Needed. The node's certificate carries it too.
	ID rotunda.NodeID `yaml:"id" help:"name of this node in the mesh" example:"fra-1"`
	// Region (region) is where the node stands, for example "eu-west". Needed. The node's certificate carries it too.
	Region rotunda.Region `yaml:"region" help:"where this node stands, for example eu-west" example:"eu-central"`
	// Host (host) is the name or IP address under which browsers and other nodes reach this node. It fills in whichever of
	// http.url, media.advertise, cascade.advertise and gossip.advertise are not given. Needed unless those are given, or
	// their listen addresses name an address themselves.
	Host string `yaml:"host" help:"name or IP address under which this node is reached" example:"192.0.2.7"`
	// Data (data) is the folder of what the node keeps, the control log above all. Default "/var/lib/rotunda".
	Data string `yaml:"data" help:"folder of what the node keeps" example:"/var/lib/rotunda"`

	HTTP    HTTP    `yaml:"http"`
	ACME    ACME    `yaml:"acme"`
	Media   Media   `yaml:"media"`
	Cascade Cascade `yaml:"cascade"`
	Gossip  Gossip  `yaml:"gossip"`
	Log     Log     `yaml:"log"`
	Admin   Admin   `yaml:"admin"`
	TLS     TLS     `yaml:"tls"`
	Tokens  Tokens  `yaml:"tokens"`
	OIDC    OIDC    `yaml:"oidc"`
	TURN    TURN    `yaml:"turn"`
	Limits  Limits  `yaml:"limits"`

	// WAN (wan) delays what this node sends to the nodes of a region by that long, one way, to try a mesh on one machine
	// as if it stood apart. `rotunda up --wan` writes it. Default: no delay. At most 2 s each.
	WAN map[rotunda.Region]time.Duration `yaml:"wan" help:"delay towards regions, for demonstrations: {eu-west: 38ms}" example:"{us-east: 38ms}"`
	// LogLevel (log_level) is the least important line that is logged: debug, info, warn or error. Default "info".
	LogLevel string `yaml:"log_level" help:"debug, info, warn or error" example:"debug" reload:"true"`
	// LogFormat (log_format) is text, json, or auto: text on a terminal and JSON otherwise. Default "auto".
	LogFormat string `yaml:"log_format" help:"text, json or auto" example:"json"`
}

// HTTP is the web page, the API, WHIP and WHEP.
type HTTP struct {
	// Listen (http.listen) is a TCP address. Default ":8080".
	Listen string `yaml:"listen" help:"address of the web page and API" example:"127.0.0.1:8080"`
	// URL (http.url) is what browsers put in front of /r/{room}, without a path. Default: made of host and listen.
	URL string `yaml:"url" help:"base URL that browsers use" example:"https://fra-1.example.org"`
	// Cert (http.cert) is a PEM certificate chain; with http.key the node speaks TLS itself. Default: that of acme, else plain
	// HTTP, for a proxy in front. Browsers give a microphone to https pages and to localhost only.
	Cert string `yaml:"cert" help:"PEM certificate chain for https" example:"/etc/rotunda/web.crt" reload:"true"`
	// Key (http.key) is the PEM private key of http.cert. Default: none.
	Key string `yaml:"key" help:"PEM private key for https (a file)" example:"/etc/rotunda/web.key" reload:"true"`
	// TrustedProxies (http.trusted_proxies) lists the addresses and networks (CIDR) of proxies in front of the page. Of a request from one of them
	// X-Forwarded-For or Forwarded says who asked: the rightmost address that is not of these. Without it all people behind a proxy share one
	// address's limits. Default: none, and these headers are not looked at.
	TrustedProxies []string `yaml:"trusted_proxies" help:"addresses or networks of proxies that say who asks" example:"[10.0.0.0/8, 192.0.2.9]"`
}

// Proxies are http.trusted_proxies of a configuration without problems.
func (h HTTP) Proxies() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range h.TrustedProxies {
		if p, err := proxy(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// proxy reads an address or a network.
func proxy(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, aerr := netip.ParseAddr(s); aerr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	switch {
	case err != nil:
		return p, fmt.Errorf("%.80q is neither an address nor a network like 10.0.0.0/8", s)
	case p.Bits() == 0:
		return p, errors.New("all the world is no proxy: whoever asks could name any address")
	}
	return p.Masked(), nil
}

// ACME is the page's certificate from an authority that gives it by itself, Let's Encrypt for example, in place of http.cert. The authority
// looks for the node at port 443 of each name (TLS-ALPN-01): http.listen is ":443", or whatever is in front hands that port on as it is.
type ACME struct {
	// Hosts (acme.hosts) are the names to be certified, the one in http.url among them. They turn it on, and say that you accept the
	// authority's terms of service. Default: none, off.
	Hosts []string `yaml:"hosts" help:"names for which to get a certificate; turns ACME on, and accepts its terms" example:"[fra-1.example.org]"`
	// Email (acme.email) is where the authority writes to. Default: none.
	Email string `yaml:"email" help:"where the authority writes to" example:"ops@example.org"`
	// Directory (acme.directory) is the authority. Default "https://acme-v02.api.letsencrypt.org/directory".
	Directory string `yaml:"directory" help:"directory URL of the authority" example:"https://acme-staging-v02.api.letsencrypt.org/directory"`
	// Roots (acme.roots) has the certificates that the authority's own server is believed by. Default: those of the system.
	Roots string `yaml:"roots" help:"PEM certificates of an authority of your own" example:"/etc/rotunda/ca.crt"`
}

// Media is WebRTC, all of it on one port.
type Media struct {
	// Listen (media.listen) is a UDP address. Default ":8081".
	Listen string `yaml:"listen" help:"UDP address of all WebRTC media" example:"192.0.2.7:8081"`
	// Advertise (media.advertise) lists the IP addresses, with or without a port, that browsers are told to send to.
	// Default: the address in listen or host; without one, the addresses of the machine's interfaces.
	Advertise []string `yaml:"advertise" help:"addresses that browsers are told to send media to" example:"[192.0.2.7]"`
}

// Cascade is QUIC between nodes.
type Cascade struct {
	// Listen (cascade.listen) is a UDP address. Default ":7443".
	Listen string `yaml:"listen" help:"UDP address of the QUIC links between nodes" example:"192.0.2.7:7443"`
	// Advertise (cascade.advertise) is the host:port that other nodes send to. Default: made of host and listen.
	Advertise string `yaml:"advertise" help:"host:port of the links, as other nodes see it" example:"fra-1.example.org:7443"`
	// Hitless (cascade.hitless) is program or off. With program, a room's program and the microphones that are mixed into
	// it come here by two ways that share no node but the one where they begin, at the price of a second copy: whichever
	// other node dies, nothing is missing. With off a way that breaks is replaced, and what was missed is sent once more,
	// late. Each node decides for what it takes itself, where the room does not say it (hitless in POST /v1/rooms); set it alike
	// in a mesh. Default "program".
	Hitless string `yaml:"hitless" help:"program: two ways for every program, so that a dead node is not heard; or off" example:"off"`
}

// Gossip is membership: who is in the mesh.
type Gossip struct {
	// Listen (gossip.listen) is a UDP and TCP address. Default ":7946".
	Listen string `yaml:"listen" help:"UDP and TCP address of gossip" example:"192.0.2.7:7946"`
	// Advertise (gossip.advertise) is the ip:port that other nodes use. Default: made of host and listen.
	Advertise string `yaml:"advertise" help:"host:port of gossip, as other nodes see it" example:"192.0.2.7:7946"`
	// KeyFile (gossip.key_file) is a file of one or more keys of 32 random bytes, base64, a line each: the first encrypts,
	// all decrypt. Needed. `rotunda keygen gossip` makes one.
	KeyFile string `yaml:"key_file" help:"file of the gossip keys" example:"/etc/rotunda/gossip.key" reload:"true"`
	// Label (gossip.label) names the mesh, 1 to 64 characters; meshes with different labels never mix. Needed.
	Label string `yaml:"label" help:"name of the mesh; meshes of different names never mix" example:"example"`
	// Seeds (gossip.seeds) are host:port of any members, to find the rest by. Default: none; this node starts the mesh.
	Seeds []string `yaml:"seeds" help:"host:port of some members, to join by" example:"[198.51.100.8:7946]"`
}

// Log is the control log: the decisions of every room.
type Log struct {
	// Control (log.control) lists the nodes that keep the log between them, the same list on every node: one, three, five
	// or seven. Default: none. Then, without endpoints, this node keeps a log for itself alone, in data, without a port.
	Control []ControlNode `yaml:"control" help:"nodes that keep the log: [{id: a, peer: 'host:2380', client: 'host:2379'}, …]" example:"[{id: fra-1, client: '192.0.2.7:2379'}]"`
	// Join (log.join) says that the log exists and has been told of this node (`rotunda log add`): it takes the log over at its
	// first start, and the key means nothing after that. Default false.
	Join bool `yaml:"join" help:"take over a log that exists, at the first start of a control node that was added" example:"true"`
	// Endpoints (log.endpoints) are host:port of the operator's own etcd, by mutual TLS with the node's certificate.
	// Excludes control. Default: none.
	Endpoints []string `yaml:"endpoints" help:"host:port of your own etcd" example:"['etcd-1.example.org:2379']"`
	// ListenPeer (log.listen_peer) is a TCP address for the other control nodes, used by control nodes only; empty where
	// there is one control node means no such port. Default ":2380".
	ListenPeer string `yaml:"listen_peer" help:"TCP address of the log for other control nodes" example:"192.0.2.7:2380"`
	// ListenClient (log.listen_client) is a TCP address for the nodes that keep no log. Default ":2379".
	ListenClient string `yaml:"listen_client" help:"TCP address of the log for nodes that keep none" example:"192.0.2.7:2379"`
}

// ControlNode is a node that keeps the control log.
type ControlNode struct {
	ID     rotunda.NodeID `yaml:"id"`     // the node's id
	Peer   string         `yaml:"peer"`   // host:port that other control nodes connect to
	Client string         `yaml:"client"` // host:port that the other nodes connect to
}

// Admin is metrics, health and the operator's verbs, without authentication: keep it to yourself.
type Admin struct {
	// Listen (admin.listen) is a TCP address. Default "127.0.0.1:9090".
	Listen string `yaml:"listen" help:"address of metrics, health and operator verbs" example:"127.0.0.1:9090"`
	// MetricsListen (admin.metrics_listen) is a TCP address that has /metrics, /healthz and /readyz and nothing else, for whoever scrapes and
	// should not give orders: listen can then stay on the machine itself. Default: none, and listen alone has them.
	MetricsListen string `yaml:"metrics_listen" help:"address of metrics and health alone, for who scrapes" example:":9091"`
}

// TLS is who this node is to other nodes; `rotunda certs` makes the files. All but the region's key are needed.
type TLS struct {
	// CA (tls.ca) has the certificates of the mesh's authorities; a node that any of them signed is believed. Needed.
	// A control log of several nodes takes new authorities over at its next start.
	CA string `yaml:"ca" help:"PEM certificates of the mesh's authorities" example:"/etc/rotunda/ca.crt" reload:"true"`
	// Cert (tls.cert) is this node's certificate: it carries the node's id and region. Needed.
	Cert string `yaml:"cert" help:"PEM certificate of this node" example:"/etc/rotunda/fra-1.crt" reload:"true"`
	// Key (tls.key) is the private key of that certificate. Needed.
	Key string `yaml:"key" help:"PEM private key of this node (a file)" example:"/etc/rotunda/fra-1.key" reload:"true"`
	// Region (tls.region) has the key of the node's region. Without it the node makes no rooms that are kept in regions, and
	// sends people who ask for one to other nodes. Default: none.
	Region string `yaml:"region" help:"PEM key of the node's region (a file), for rooms kept in regions" example:"/etc/rotunda/fra-1.region"`
}

// Tokens is who may come in.
type Tokens struct {
	// SigningKey (tokens.signing_key) is an Ed25519 private key, PEM (PKCS #8): guests' tokens are signed with it, and what
	// it signs is accepted. Needed where guests is true. `rotunda keygen token` makes one.
	SigningKey string `yaml:"signing_key" help:"Ed25519 private key that signs guests' tokens (a file)" example:"/etc/rotunda/token.key" reload:"true"`
	// Verify (tokens.verify) are files of Ed25519 public keys, PEM (PKIX), whose tokens are accepted. At least one is needed
	// where there is no signing key. Default: none.
	Verify []string `yaml:"verify" help:"files of the Ed25519 public keys whose tokens are accepted" example:"[/etc/rotunda/backend.pub]" reload:"true"`
	// Guests (tokens.guests) lets anybody have a token by giving a name. Default false.
	Guests bool `yaml:"guests" help:"let anybody in who gives a name" example:"true"`
	// CreateRooms (tokens.create_rooms) is who may open rooms: everyone who has a token; accounts, those who sign in (oidc) and
	// tokens with the scope room:create; or scope, only tokens with that scope, which your own backend or `rotunda token
	// --create-rooms` signs. Set it alike on all nodes. Default everyone.
	CreateRooms string `yaml:"create_rooms" help:"who may open rooms: everyone, accounts or scope (room:create)" example:"scope"`
}

// OIDC is sign-in with accounts of your own identity provider (OpenID Connect, authorization code with PKCE). Who has signed in
// gets a token of tokens.signing_key, as guests do; both can be on. Default: off.
type OIDC struct {
	// Issuer (oidc.issuer) is the provider as it calls itself; its discovery document is at
	// ISSUER/.well-known/openid-configuration. It turns sign-in on, and needs tokens.signing_key. Default: none, no sign-in.
	Issuer string `yaml:"issuer" help:"issuer URL of your OpenID provider; empty: no sign-in" example:"https://accounts.example.org"`
	// ClientID (oidc.client_id) is who the mesh is to the provider. Needed with issuer.
	ClientID string `yaml:"client_id" help:"client id of the mesh at the provider" example:"rotunda"`
	// ClientSecretFile (oidc.client_secret_file) is a file with the client's secret. Default: none, a public client.
	ClientSecretFile string `yaml:"client_secret_file" help:"file of the client's secret" example:"/etc/rotunda/oidc.secret"`
	// RedirectURL (oidc.redirect_url) is where the provider sends people back to. It is to be registered there, one for each
	// node: a sign-in ends on the node where it began. Default: http.url and /v1/sign-in/callback.
	RedirectURL string `yaml:"redirect_url" help:"where the provider sends people back to" example:"https://fra-1.example.org/v1/sign-in/callback"`
	// Scopes (oidc.scopes) are asked for beside openid. Default: profile, for the name.
	Scopes []string `yaml:"scopes" help:"scopes to ask for beside openid" example:"[profile, email]"`
}

// TURN is relays for people whose networks let nothing out to the node's media port. The node tells them to whoever opens a media session, by
// Link headers (RFC 9725 §4.6), and runs none itself: coturn does, for example, with use-auth-secret.
type TURN struct {
	// URLs (turn.urls) are the relays (RFC 7065). Default: none.
	URLs []string `yaml:"urls" help:"TURN servers to tell people of" example:"['turns:turn.example.org:443?transport=tcp']"`
	// SecretFile (turn.secret_file) is a file with what node and relay share (static-auth-secret of coturn): everybody gets a password of their own,
	// good for 12 hours. Needed with urls, or username.
	SecretFile string `yaml:"secret_file" help:"file of the secret that is shared with the relay" example:"/etc/rotunda/turn.secret"`
	// Username (turn.username) goes with password_file, in place of secret_file: the same for everybody. Default: none.
	Username string `yaml:"username" help:"name that everybody has at the relay" example:"rotunda"`
	// PasswordFile (turn.password_file) is a file with the password of username; whoever opens a session is told it. Default: none.
	PasswordFile string `yaml:"password_file" help:"file of the password that everybody is told" example:"/etc/rotunda/turn.password"`
}

// Limits is what this node takes at most, and what one caller may. An address is an IPv4 address or an IPv6 network of 64 bits. A new value
// holds for whoever comes next; who is here stays, though there be more than it allows.
type Limits struct {
	// Listeners (limits.listeners) is how many listen on this node by WebRTC, at 16 KiB each. Default 20000.
	Listeners int `yaml:"listeners" help:"listeners of this node" example:"5000" reload:"true"`
	// Speakers (limits.speakers) is how many microphones this node takes. Default 4000.
	Speakers int `yaml:"speakers" help:"microphones of this node" example:"500" reload:"true"`
	// Players (limits.players) is how many listen to listen.opus, over plain HTTP. Default 1000.
	Players int `yaml:"players" help:"plain HTTP players of this node" example:"200" reload:"true"`
	// Streams (limits.streams) is how many event feeds are open on this node: about one for each page. Default 16384.
	Streams int `yaml:"streams" help:"open event feeds of this node" example:"5000" reload:"true"`
	// AddressStreams (limits.address_streams) is how many event feeds one address has open. Default 256.
	AddressStreams int `yaml:"address_streams" help:"open event feeds of one address" example:"2000" reload:"true"`
	// Sessions (limits.sessions) is how often one address opens, changes or ends media sessions. Default 500/s burst 5000.
	Sessions Rate `yaml:"sessions" help:"media sessions opened, changed or ended by one address" example:"50/s burst 500" reload:"true"`
	// Reads (limits.reads) is how often one address reads from the API. Default 200/s burst 1000.
	Reads Rate `yaml:"reads" help:"API calls of one address that change nothing" example:"50/s burst 500" reload:"true"`
	// Commands (limits.commands) is how often one address asks the API to change something. Default 100/s burst 500.
	Commands Rate `yaml:"commands" help:"API calls of one address that change something" example:"20/s burst 100" reload:"true"`
	// UserCommands (limits.user_commands) is how often one person does. Default 20/s burst 100.
	UserCommands Rate `yaml:"user_commands" help:"API calls of one person that change something" example:"5/s burst 50" reload:"true"`
	// Guests (limits.guests) is how often one address becomes a new guest. Default 5/s burst 200.
	Guests Rate `yaml:"guests" help:"new guests from one address" example:"1/s burst 2000" reload:"true"`
	// Rooms (limits.rooms) is how often one person opens a room. Default 1/s burst 50.
	Rooms Rate `yaml:"rooms" help:"new rooms of one person" example:"0.1/s burst 10" reload:"true"`
}

// Rate is a number of times a second, and how many may come at once: "5/s burst 200".
type Rate string

// rateMax bounds both figures of a rate.
const rateMax = 1_000_000

// Values are its two figures.
func (r Rate) Values() (perSecond float64, burst int, err error) {
	each, many, ok := strings.Cut(string(r), "/s burst ")
	if ok {
		if perSecond, err = strconv.ParseFloat(each, 64); err == nil {
			burst, err = strconv.Atoi(many)
		}
	}
	if !ok || err != nil {
		return 0, 0, fmt.Errorf("%.40q is not like 5/s burst 200", string(r))
	}
	if !(perSecond > 0 && perSecond <= rateMax && burst >= 1 && burst <= rateMax) {
		return 0, 0, fmt.Errorf("%.40q: both figures are above 0 and at most %d", string(r), rateMax)
	}
	return perSecond, burst, nil
}

// WithDefaults returns c with every default filled in that the other fields decide. It does not look at the machine.
func (c Config) WithDefaults() Config {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.Data, "/var/lib/rotunda")
	set(&c.HTTP.Listen, ":8080")
	set(&c.ACME.Directory, "https://acme-v02.api.letsencrypt.org/directory")
	set(&c.Media.Listen, ":8081")
	set(&c.Cascade.Listen, ":7443")
	set(&c.Gossip.Listen, ":7946")
	set(&c.Admin.Listen, "127.0.0.1:9090")
	set(&c.Cascade.Hitless, "program")
	set(&c.Tokens.CreateRooms, "everyone")
	set(&c.LogLevel, "info")
	set(&c.LogFormat, "auto")
	c.Limits = c.Limits.withDefaults()
	if c.IsControl() {
		if len(c.Log.Control) > 1 {
			set(&c.Log.ListenPeer, ":2380")
		}
		set(&c.Log.ListenClient, ":2379")
	}
	set(&c.Cascade.Advertise, advertised(c.Host, c.Cascade.Listen))
	set(&c.Gossip.Advertise, advertised(c.Host, c.Gossip.Listen))
	if len(c.Media.Advertise) == 0 {
		host, _, _ := net.SplitHostPort(advertised(c.Host, c.Media.Listen))
		if _, err := netip.ParseAddr(host); err == nil {
			c.Media.Advertise = []string{host}
		}
	}
	if address := advertised(c.Host, c.HTTP.Listen); address != "" {
		scheme := "http://"
		if c.HTTP.Cert != "" || len(c.ACME.Hosts) > 0 {
			scheme = "https://"
		}
		set(&c.HTTP.URL, scheme+address)
	}
	if c.OIDC.Issuer != "" {
		if c.HTTP.URL != "" {
			set(&c.OIDC.RedirectURL, strings.TrimSuffix(c.HTTP.URL, "/")+"/v1/sign-in/callback")
		}
		if len(c.OIDC.Scopes) == 0 {
			c.OIDC.Scopes = []string{"profile"}
		}
	}
	return c
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		field *int
		usual int
	}{{&l.Listeners, 20000}, {&l.Speakers, 4000}, {&l.Players, 1000}, {&l.Streams, 16384}, {&l.AddressStreams, 256}} {
		if *d.field == 0 {
			*d.field = d.usual
		}
	}
	for _, d := range []struct {
		field *Rate
		usual Rate
	}{
		{&l.Sessions, "500/s burst 5000"}, {&l.Reads, "200/s burst 1000"}, {&l.Commands, "100/s burst 500"}, {&l.UserCommands, "20/s burst 100"},
		{&l.Guests, "5/s burst 200"}, {&l.Rooms, "1/s burst 50"},
	} {
		if *d.field == "" {
			*d.field = d.usual
		}
	}
	return l
}

// advertised is the address that reaches listen: of host where listen names no address of its own; "" where neither does.
func advertised(host, listen string) string {
	own, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	if host == "" {
		if ip, err := netip.ParseAddr(own); own == "" || err == nil && ip.IsUnspecified() {
			return ""
		}
		host = own
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// IsControl reports whether this node is one of those that keep the log for others too.
func (c *Config) IsControl() bool {
	return slices.ContainsFunc(c.Log.Control, func(n ControlNode) bool { return n.ID == c.ID })
}
