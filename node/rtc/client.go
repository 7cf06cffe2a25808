package rtc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"

	"rotunda/node/whip/resource"
)

// HTTPError is an answer other than the one asked for.
type HTTPError = resource.Error

// ClientConfig says where a Publisher or Player connects to, and how.
type ClientConfig struct {
	URL    string       // the WHIP or WHEP endpoint
	Token  string       // bearer token; empty: none is sent
	HTTP   *http.Client // nil: one with sensible time-outs
	Tracks int          // players: audio tracks to ask for, 1 to edge.SlotsMax; 0 means 1
	Logger *slog.Logger // nil: silent

	network transport.Net // tests put a simulated network here; nil: the system's
}

// goodbyeMax is how long the leave-taking may hold up a client that goes.
const goodbyeMax = 2 * time.Second

// client is what Publisher and Player have in common: a peer connection and the HTTP resource that stands for it.
type client struct {
	cfg      ClientConfig
	http     *resource.Client
	pc       *webrtc.PeerConnection
	resource string // URL of the session
	node     string // URL of the endpoint that answered, after redirects

	connected chan struct{} // closed when DTLS is up
	upOnce    sync.Once
	readers   group
	done      chan struct{} // closed when the connection is lost or closed
	doneOnce  sync.Once
	closeOnce sync.Once
}

// dial connects: prepare adds tracks to c.pc before the offer is made. It returns when DTLS is up.
func dial(ctx context.Context, cfg ClientConfig, prepare func(*client) error) (*client, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &client{cfg: cfg, http: resource.New(cfg.URL, cfg.Token, cfg.HTTP, 1), connected: make(chan struct{}), done: make(chan struct{})}
	if err := c.connect(ctx, prepare); err != nil {
		c.close(context.WithoutCancel(ctx))
		return nil, err
	}
	return c, nil
}

func (c *client) connect(ctx context.Context, prepare func(*client) error) (err error) {
	if c.pc, err = c.newPeerConnection(); err != nil {
		return err
	}
	c.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			c.upOnce.Do(func() { close(c.connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			c.lost()
		}
	})
	if err := prepare(c); err != nil {
		return err
	}
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(offer); err != nil {
		return err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return ctx.Err()
	}
	opened, err := c.http.Open(ctx, c.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	c.resource, c.node = opened.Resource, opened.Endpoint
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: opened.Answer}); err != nil {
		return fmt.Errorf("the answer of %s: %v", c.node, err)
	}
	return c.awaitMedia(ctx, opened.Answer)
}

// awaitMedia returns when DTLS is up.
func (c *client) awaitMedia(ctx context.Context, answer string) error {
	look := time.NewTimer(hurryFirst)
	defer look.Stop()
	for n := 0; ; {
		select {
		case <-c.connected:
			return nil
		case <-c.done:
			return fmt.Errorf("%s answered, but no media connection to it came up", c.node)
		case <-ctx.Done():
			return fmt.Errorf("%s answered, but no media connection to it came up: %w", c.node, ctx.Err())
		case <-look.C:
			c.hurry(answer, n)
			if n++; n < hurries {
				look.Reset(hurryFirst << n)
			}
		}
	}
}

// newPeerConnection makes a full ICE agent that reaches servers on this machine as well.
func (c *client) newPeerConnection() (*webrtc.PeerConnection, error) {
	media, err := mediaEngine()
	if err != nil {
		return nil, err
	}
	var settings webrtc.SettingEngine
	settings.LoggerFactory = pionLogs{c.cfg.Logger}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	settings.SetICETimeouts(disconnectedAfter, failedAfter, keepaliveEvery)
	settings.SetSRTPProtectionProfiles(srtpProfiles...)
	// Checks go out as soon as there are candidates; the server has only host candidates to wait for.
	settings.SetHostAcceptanceMinWait(0)
	settings.SetPrflxAcceptanceMinWait(0)
	if c.cfg.network != nil {
		settings.SetNet(c.cfg.network)
	}
	if onThisMachine(c.cfg.URL) {
		settings.SetIncludeLoopbackCandidate(true)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(clientReports(c.cfg.Logger)), webrtc.WithSettingEngine(settings))
	return api.NewPeerConnection(webrtc.Configuration{BundlePolicy: webrtc.BundlePolicyMaxBundle, RTCPMuxPolicy: webrtc.RTCPMuxPolicyRequire})
}

func onThisMachine(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		return ip.IsLoopback()
	}
	return u.Hostname() == "localhost"
}

func (c *client) lost() { c.doneOnce.Do(func() { close(c.done) }) }

// close says goodbye, if the server ever answered, and frees everything. ctx bounds the goodbye, and so does goodbyeMax.
func (c *client) close(ctx context.Context) error {
	var err error
	c.closeOnce.Do(func() {
		if c.resource != "" {
			ctx, cancel := context.WithTimeout(ctx, goodbyeMax)
			defer cancel()
			err = c.http.Delete(ctx, c.resource)
		}
		if c.pc != nil {
			err = errors.Join(err, c.pc.GracefulClose())
			c.readers.wait()
		}
		c.http.Close()
		c.lost()
	})
	return err
}

// NodeURL is the endpoint that answered: the one asked for, or the one it redirected to.
func (c *client) NodeURL() string { return c.node }

// Came counts what has come from the server, in bytes, checks of the path left out. A server that lives sends something every 140 ms.
func (c *client) Came() (bytes uint64) {
	for _, transceiver := range c.pc.GetTransceivers() { // one transport, whatever the number of tracks (BUNDLE)
		if r := transceiver.Receiver(); r != nil && r.Transport() != nil {
			return r.Transport().ICETransport().Stats().BytesReceived
		}
		if s := transceiver.Sender(); s != nil && s.Transport() != nil {
			return s.Transport().ICETransport().Stats().BytesReceived
		}
	}
	return 0
}

// Done is closed when the connection is lost or closed.
func (c *client) Done() <-chan struct{} { return c.done }
