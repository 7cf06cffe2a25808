package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// Bounds on what a node's answers may cost this process.
const (
	answerMax     = 4 << 20 // bytes of one answer; a room with a long queue has some hundred kilobytes
	feedLineMax   = 1 << 20 // bytes of one line of the event feed
	answerWithin  = 15 * time.Second
	feedRetryWait = time.Second
)

// client calls a node's HTTP API on behalf of one person.
type client struct {
	base  string // of the node, without a slash at the end
	token string
	user  rotunda.UserID
	http  *http.Client
	// move is told where to go on when the node of the event feed is being emptied; nil: nobody moves. It must not block.
	move func(bases []string)
}

// at is the same person at another node.
func (c *client) at(base string) *client {
	other := *c
	other.base = base
	return &other
}

// edges lists the nodes that serve a room, best guess first.
func (c *client) edges(ctx context.Context, id rotunda.RoomID) (edges []edge, err error) {
	var body struct{ Edges []edge }
	err = c.call(ctx, http.MethodGet, "/v1/edges?room="+url.QueryEscape(string(id)), nil, &body)
	return body.Edges, err
}

// edge is a node that can be tried.
type edge struct{ Node, Region, URL string }

func basesOf(edges []edge) (bases []string) {
	for _, e := range edges {
		bases = append(bases, e.URL)
	}
	return bases
}

// apiError is a node's refusal (RFC 9457).
type apiError struct {
	Status        int
	Title, Detail string
	Said          string `json:"error"` // an admin address's way
	Reason        string // why a node is not ready
	body          []byte
}

func (e *apiError) Error() string {
	text := cmp.Or(e.Title, e.Said, fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status)))
	if e.Detail != "" && e.Detail != e.Title {
		text += ": " + e.Detail
	}
	return text
}

// refused reports whether err is a node's answer of that status.
func refused(err error, status int) bool {
	var e *apiError
	return errors.As(err, &e) && e.Status == status
}

// parseRoomURL takes a room's link apart: the node's address, and the room, which is "" in a node's bare address.
func parseRoomURL(link string) (base string, id rotunda.RoomID, err error) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", "", fmt.Errorf("%q is not a room's link, like http://127.0.0.1:8080/r/k3v9, nor a node's address", link)
	}
	base = u.Scheme + "://" + u.Host
	path := strings.Trim(u.Path, "/")
	if path == "" {
		return base, "", nil
	}
	name, ok := strings.CutPrefix(path, "r/")
	if !ok {
		name, ok = strings.CutPrefix(path, "v1/rooms/")
	}
	id = rotunda.RoomID(name)
	if !ok || id.Valid() != nil {
		return "", "", fmt.Errorf("%q is not a room's link: after the node's address comes /r/ and the room", link)
	}
	return base, id, nil
}

// newClient returns a client that acts with token, or as a guest called name where there is none.
func newClient(ctx context.Context, base, token, name string) (*client, error) {
	c := &client{base: base, token: token, http: &http.Client{CheckRedirect: sentOn}}
	if token == "" {
		var guest struct{ Token string }
		if err := c.call(ctx, http.MethodPost, "/v1/guests", map[string]string{"name": name}, &guest); err != nil {
			if refused(err, http.StatusForbidden) || refused(err, http.StatusUnauthorized) {
				return nil, fmt.Errorf("%s takes no guests (%w): give a --token", base, err)
			}
			return nil, err
		}
		c.token = guest.Token
	}
	claims, err := readClaims(c.token)
	if err != nil {
		return nil, usageError{err}
	}
	c.user = claims.User
	return c, nil
}

// sentOnMax is how many nodes after each other may send a request on to the next.
const sentOnMax = 5

// sentOn has a request go on to the node that another one names, with the token, as the media sessions' do (RFC 9725 §4.5).
func sentOn(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > sentOnMax || first.URL.Scheme == "https" && next.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if token := first.Header.Get("Authorization"); token != "" {
		next.Header.Set("Authorization", token)
	}
	return nil
}

// claims are what a token says about its holder. Only nodes check it.
type claims struct {
	User rotunda.UserID `json:"sub"`
	Room rotunda.RoomID `json:"room"`
	Role rotunda.Role   `json:"role"`
}

func readClaims(token string) (c claims, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, errors.New("the token is not a token: three parts with dots between")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err != nil || c.User.Valid() != nil {
		return c, errors.New("the token is not one of Rotunda's: it names no user")
	}
	return c, nil
}

// call sends one request; body and into may be nil. A refusal is an *apiError.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	res, err := c.send(ctx, method, path, payload, "application/json")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, answerMax))
	if err != nil {
		return fmt.Errorf("%s: %w", c.base, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s%s did not answer in JSON; is it a node of Rotunda?", c.base, path)
	}
	return nil
}

// send returns an answer of success; the caller closes its body.
func (c *client) send(ctx context.Context, method, path string, body io.Reader, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", accept)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	refusal := &apiError{Status: res.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what is cut off is only shown
	_ = json.Unmarshal(text, refusal)                       // a proxy's HTML leaves the status
	refusal.Status, refusal.body = res.StatusCode, text
	return nil, refusal
}

func (c *client) roomPath(id rotunda.RoomID, rest string) string {
	return "/v1/rooms/" + string(id) + rest
}

// link is the room's address for people.
func (c *client) link(id rotunda.RoomID) string { return c.base + "/r/" + string(id) }

// room fetches a room.
func (c *client) room(ctx context.Context, id rotunda.RoomID) (v room.View, err error) {
	err = c.call(ctx, http.MethodGet, c.roomPath(id, ""), nil, &v)
	if refused(err, http.StatusNotFound) {
		err = fmt.Errorf("there is no room %s at %s", id, c.base)
	}
	return v, err
}

// watch calls changed with the room as it is now and after every change, until changed returns false or an error, or ctx
// ends. A broken feed is taken up again; changed is called from this goroutine.
func (c *client) watch(ctx context.Context, id rotunda.RoomID, changed func(room.View) (more bool, err error)) error {
	for {
		more, err := c.feed(ctx, id, changed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refusal *apiError
		if !more || errors.As(err, &refusal) && refusal.Status < 500 {
			return err
		}
		select { // the node may be restarting
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(feedRetryWait):
		}
	}
}

// feed is one connection to the room's event feed. Each event is only a sign to fetch the room again: a merge patch would
// save little here and cost a parser.
func (c *client) feed(ctx context.Context, id rotunda.RoomID, changed func(room.View) (bool, error)) (more bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	res, err := c.send(ctx, http.MethodGet, c.roomPath(id, "/events"), nil, "text/event-stream")
	if err != nil {
		return true, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, feedLineMax)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event:"); ok {
			event = strings.TrimSpace(name)
		}
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok || event == "presence" {
			continue
		}
		if event == "move" {
			var named struct{ Edges []edge }
			if c.move != nil && json.Unmarshal([]byte(data), &named) == nil {
				c.move(basesOf(named.Edges))
			}
			continue
		}
		v, err := c.room(ctx, id)
		if err != nil {
			return true, err
		}
		if more, err := changed(v); err != nil || !more {
			return false, err
		}
	}
	return true, lines.Err()
}
