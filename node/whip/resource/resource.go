// Package resource is the client half of WHIP (RFC 9725) and WHEP over HTTP: it opens the resource that stands for a media
// session, and deletes it. It knows nothing of media.
//
// What always holds: a server makes a client read at most bodyMax bytes of an answer and follow at most redirectsMax
// redirects, and a token never goes from https to http. All of it may be called concurrently.
package resource

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"
)

const (
	redirectsMax = 5
	bodyMax      = 64 << 10 // of an answer
	answerMax    = 15 * time.Second
)

// Error is an answer other than the one asked for. Title and Detail are the server's words (RFC 9457), or the first of
// its body.
type Error struct {
	Method, URL   string
	Status        int
	Title, Detail string
	RetryAfter    time.Duration // 0: not said
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if e.Title != "" && e.Title != http.StatusText(e.Status) {
		text += ": " + e.Title
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Client opens resources at one endpoint. The zero HTTP means one with sensible time-outs and connections of its own.
type Client struct {
	Endpoint string       // URL of the WHIP or WHEP endpoint
	Token    string       // bearer token; empty: none is sent
	HTTP     *http.Client // set by New
	own      bool         // HTTP was made by New
}

// New returns a client of an endpoint. With hc nil it has connections of its own, at most idle of which stay open between
// requests.
func New(endpoint, token string, hc *http.Client, idle int) *Client {
	c := &Client{Endpoint: endpoint, Token: token, own: hc == nil}
	if c.own {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = max(idle, http.DefaultMaxIdleConnsPerHost)
		transport.MaxIdleConns = max(transport.MaxIdleConns, idle)
		hc = &http.Client{Timeout: answerMax, Transport: transport}
	}
	plain := *hc // redirects are followed by hand: RFC 9725 §4.5 wants the token and the body sent again
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = &plain
	return c
}

// Close lets go of connections that belong to the client. Resources stay.
func (c *Client) Close() {
	if c.own {
		c.HTTP.CloseIdleConnections()
	}
}

// Opened is a media session as the server answered for it.
type Opened struct {
	Resource string // URL of the session
	Endpoint string // URL of the endpoint that answered, after redirects
	Answer   string // SDP
}

// Open posts an offer and follows temporary redirects, which send a client to another node. A refusal is an *Error.
func (c *Client) Open(ctx context.Context, offer string) (Opened, error) {
	target := c.Endpoint
	for range redirectsMax {
		res, body, err := c.do(ctx, http.MethodPost, target, []byte(offer))
		if err != nil {
			return Opened{}, err
		}
		location, err := res.Location() // resolved against the request
		switch res.StatusCode {
		case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			if err != nil {
				return Opened{}, fmt.Errorf("POST %s: %d without a place to go to", target, res.StatusCode)
			}
			if res.Request.URL.Scheme == "https" && location.Scheme != "https" {
				return Opened{}, fmt.Errorf("POST %s: will not carry the token on to %s, which is not https", target, location)
			}
			target = location.String()
			continue
		case http.StatusCreated:
		default:
			return Opened{}, refusal(res, body)
		}
		if err != nil {
			return Opened{}, fmt.Errorf("POST %s: 201 without the session's Location", target)
		}
		if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "application/sdp" {
			return Opened{}, fmt.Errorf("POST %s: the answer is %q, not application/sdp", target, res.Header.Get("Content-Type"))
		}
		return Opened{Resource: location.String(), Endpoint: target, Answer: string(body)}, nil
	}
	return Opened{}, fmt.Errorf("POST %s: more than %d redirects", c.Endpoint, redirectsMax)
}

// Delete ends a session. One that is over already is no error.
func (c *Client) Delete(ctx context.Context, resource string) error {
	res, body, err := c.do(ctx, http.MethodDelete, resource, nil)
	if err == nil && res.StatusCode/100 != 2 && res.StatusCode != http.StatusNotFound {
		err = refusal(res, body)
	}
	return err
}

// do sends one request and reads the answer's body, within bounds.
func (c *Client) do(ctx context.Context, method, target string, body []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/sdp")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.HTTP.Do(req)
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

func refusal(res *http.Response, body []byte) error {
	e := &Error{Method: res.Request.Method, URL: res.Request.URL.String(), Status: res.StatusCode}
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
