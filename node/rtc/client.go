package rtc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"

	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/transport/v5"
	"github.com/pion/webrtc/v4"
)

// ClientConfig says where a Publisher or Player connects to, and how.
type ClientConfig struct {
	URL    string       // the WHIP or WHEP endpoint
	Token  string       // bearer token; empty: none is sent
	HTTP   *http.Client // nil: one with sensible time-outs
	Tracks int          // players: audio tracks to ask for, 1 to edge.SlotsMax; 0 means 1
	Logger *slog.Logger // nil: silent

	network transport.Net // tests put a simulated network here; nil: the system's
}

// HTTPError is an answer other than the one asked for. Title and Detail are the server's words (RFC 9457), or the first of
// its body.
type HTTPError struct {
	Method, URL   string
	Status        int
	Title, Detail string
	RetryAfter    time.Duration // 0: not said
}

func (e *HTTPError) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if e.Title != "" && e.Title != http.StatusText(e.Status) {
		text += ": " + e.Title
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

const (
	redirectsMax = 5
	bodyMax      = 64 << 10 // of an answer
	goodbyeMax   = 2 * time.Second
)

// client is what Publisher and Player have in common: a peer connection and the HTTP resource that stands for it.
type client struct {
	cfg      ClientConfig
	ownHTTP  bool // cfg.HTTP was made by us
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
	ownHTTP := cfg.HTTP == nil
	if ownHTTP { // with connections of its own, which end with the client
		cfg.HTTP = &http.Client{Timeout: 15 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	plain := *cfg.HTTP // redirects are followed by hand: RFC 9725 §4.5 wants the token and the body sent again
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.HTTP = &plain
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &client{cfg: cfg, ownHTTP: ownHTTP, connected: make(chan struct{}), done: make(chan struct{})}
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
	answer, err := c.post(ctx, c.pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		return fmt.Errorf("the answer of %s: %v", c.node, err)
	}
	select {
	case <-c.connected:
		return nil
	case <-c.done:
		return fmt.Errorf("%s answered, but no media connection to it came up", c.node)
	case <-ctx.Done():
		return fmt.Errorf("%s answered, but no media connection to it came up: %w", c.node, ctx.Err())
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

// post sends the offer and follows temporary redirects, which send a client to another node.
func (c *client) post(ctx context.Context, offer string) (answer string, err error) {
	target := c.cfg.URL
	for range redirectsMax {
		res, body, err := c.do(ctx, http.MethodPost, target, []byte(offer))
		if err != nil {
			return "", err
		}
		location, err := res.Location() // resolved against the request
		switch res.StatusCode {
		case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			if err != nil {
				return "", fmt.Errorf("POST %s: %d without a place to go to", target, res.StatusCode)
			}
			if res.Request.URL.Scheme == "https" && location.Scheme != "https" {
				return "", fmt.Errorf("POST %s: will not carry the token on to %s, which is not https", target, location)
			}
			target = location.String()
			continue
		case http.StatusCreated:
		default:
			return "", httpError(res, body)
		}
		if err != nil {
			return "", fmt.Errorf("POST %s: 201 without the session's Location", target)
		}
		if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "application/sdp" {
			return "", fmt.Errorf("POST %s: the answer is %q, not application/sdp", target, res.Header.Get("Content-Type"))
		}
		c.resource, c.node = location.String(), target
		return string(body), nil
	}
	return "", fmt.Errorf("POST %s: more than %d redirects", c.cfg.URL, redirectsMax)
}

// do sends one request and reads the answer's body, within bounds.
func (c *client) do(ctx context.Context, method, target string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/sdp")
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, bodyMax))
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, target, err)
	}
	return res, answer, nil
}

func httpError(res *http.Response, body []byte) error {
	e := &HTTPError{Method: res.Request.Method, URL: res.Request.URL.String(), Status: res.StatusCode}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	var problem struct{ Title, Detail string }
	if json.Unmarshal(body, &problem) == nil {
		e.Title, e.Detail = problem.Title, problem.Detail
	} else {
		e.Detail = string(body[:min(len(body), 200)])
	}
	return e
}

func (c *client) lost() { c.doneOnce.Do(func() { close(c.done) }) }

// close says goodbye, if the server ever answered, and frees everything. ctx bounds the goodbye, and so does goodbyeMax.
func (c *client) close(ctx context.Context) error {
	var err error
	c.closeOnce.Do(func() {
		if c.resource != "" {
			ctx, cancel := context.WithTimeout(ctx, goodbyeMax)
			defer cancel()
			var res *http.Response
			var body []byte
			if res, body, err = c.do(ctx, http.MethodDelete, c.resource, nil); err == nil && res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNotFound {
				err = httpError(res, body)
			}
		}
		if c.pc != nil {
			err = errors.Join(err, c.pc.GracefulClose())
			c.readers.wait()
		}
		if c.ownHTTP {
			c.cfg.HTTP.CloseIdleConnections()
		}
		c.lost()
	})
	return err
}

// NodeURL is the endpoint that answered: the one asked for, or the one it redirected to.
func (c *client) NodeURL() string { return c.node }

// Done is closed when the connection is lost or closed.
func (c *client) Done() <-chan struct{} { return c.done }
