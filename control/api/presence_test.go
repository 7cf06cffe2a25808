package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// crowd is a Presence of one node.
type crowd struct {
	mu        sync.Mutex // guards the rest
	summary   json.RawMessage
	changed   chan struct{}
	reactions []string
	here      map[rotunda.UserID]int
	attended  []Attendee
	since     map[rotunda.UserID]time.Time
	listening []RosterPerson // by user id
	missing   bool           // a node does not answer
	asked     []RosterQuery
}

func newCrowd() *crowd { return &crowd{changed: make(chan struct{}), here: map[rotunda.UserID]int{}} }

func (c *crowd) Listeners(rotunda.RoomID) (int, bool) { return 12, true }

func (c *crowd) Joined(rotunda.RoomID) int { return 3 }

func (c *crowd) React(_ rotunda.RoomID, user rotunda.UserID, emoji string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reactions = append(c.reactions, string(user)+" "+emoji)
}

func (c *crowd) say(summary string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.summary = json.RawMessage(summary)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *crowd) Follow(ctx context.Context, _ rotunda.RoomID, fn func(json.RawMessage) error) error {
	for {
		c.mu.Lock()
		summary, changed := c.summary, c.changed
		c.mu.Unlock()
		if summary != nil {
			if err := fn(summary); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (c *crowd) Attend(_ rotunda.RoomID, who Attendee) (leave func()) {
	add := func(n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.here[who.User] += n
	}
	add(1)
	c.mu.Lock()
	c.attended = append(c.attended, who)
	c.mu.Unlock()
	return func() { add(-1) }
}

func (c *crowd) Since(_ rotunda.RoomID, user rotunda.UserID) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since[user]
}

// Roster gives pages that are shorter than they might be.
func (c *crowd) Roster(_ context.Context, _ rotunda.RoomID, q RosterQuery) (RosterPage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, q)
	page := RosterPage{Complete: !c.missing}
	for _, p := range c.listening {
		switch {
		case p.User <= q.After || !strings.Contains(strings.ToLower(p.Name), strings.ToLower(q.Search)):
		case len(page.People) == min(q.Limit, 3):
			page.More = true
			return page, nil
		default:
			page.People = append(page.People, p)
		}
	}
	return page, nil
}

func (c *crowd) attending(u rotunda.UserID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.here[u]
}

// followAs opens a stream as somebody.
func followAs(t *testing.T, base, path, bearer string) (next func() (sent, error), stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", base+path+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("stream: %v %v", resp, err)
	}
	stop = func() {
		cancel()
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(stop)
	lines := bufio.NewReader(resp.Body)
	return func() (sent, error) { return readEvent(lines) }, stop
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// What never was in the log comes between its events, without an id: it moves nobody's place.
func TestPresenceInTheFeed(t *testing.T) {
	p := newCrowd()
	n := newNode(t, "us-east-1", new(eventlog.Memory), func(c *Config) { c.Presence = p })
	base := serve(t, n)
	ada, bob := bearer(t, "ada", nil), bearer(t, "bob", nil)
	room := n.room(ada)
	n.is(room, "", 12, "listeners")
	n.want(200, "PATCH", "/v1/profile", bob, `{"name":"Robert","hidden":true}`)
	next, stop := followAs(t, base, room, bob)
	must := func(want string) sent {
		t.Helper()
		e, err := next()
		if err != nil || e.event != want {
			t.Fatalf("%+v, %v, want %s", e, err, want)
		}
		return e
	}
	must("snapshot")
	p.say("{\"listeners\": 7,\r\n \"reactions\": {\"👏\": 2}}")
	if e := must("presence"); e.id != "" || at(e.data, "listeners") != float64(7) || at(e.data, "reactions", "👏") != float64(2) {
		t.Errorf("presence: %+v", e)
	}
	n.want(200, "POST", room+"/refresh", ada, "")
	if e := must("refreshed"); e.id != "2" || at(e.data, "joined") != float64(3) {
		t.Errorf("after it: %+v", e)
	}
	if p.attending("bob") != 1 || len(p.attended) != 1 || p.attended[0].Name != "Robert" {
		t.Errorf("bob is here %d times, known as %+v", p.attending("bob"), p.attended)
	}
	stop()
	waitFor(t, "bob has left", func() bool { return p.attending("bob") == 0 })
}

// A warning is for whom it is about and for the host and co-hosts; everybody else learns that something happened, and
// keeps their place. What the patches lead to is what each of them may see.
func TestFeedTellsEachTheirs(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	base := serve(t, n)
	ada, bob, eve := bearer(t, "ada", nil), bearer(t, "bob", nil), bearer(t, "eve", nil)
	room := n.room(ada)
	readers := map[string]string{"ada": ada, "bob": bob, "eve": eve, "nobody": ""}
	feeds, views := map[string]func() (sent, error){}, map[string]any{}
	for who, bearer := range readers {
		next, _ := followAs(t, base, room, bearer)
		e, err := next()
		if err != nil {
			t.Fatal(err)
		}
		feeds[who], views[who] = next, any(e.data)
	}
	heard := map[string]sent{}
	all := func(want map[string]string) {
		t.Helper()
		for who, next := range feeds {
			e, err := next()
			if err != nil {
				t.Fatal(err)
			}
			heard[who] = e
			expected := want[who]
			if expected == "" {
				expected = want["others"]
			}
			if e.event != expected {
				t.Errorf("%s hears %s, want %s", who, e.event, expected)
			}
			if raw, _ := json.Marshal(e.data); e.event == "withheld" && strings.Contains(string(raw), "Let others") {
				t.Errorf("%s hears %s", who, raw)
			}
			views[who] = mergeApply(views[who], e.data["patch"])
		}
	}
	check := func() {
		t.Helper()
		for who, bearer := range readers {
			want, _ := json.Marshal(withoutNull(any(n.want(200, "GET", room, bearer, "").body)))
			if got, _ := json.Marshal(withoutNull(views[who])); string(got) != string(want) {
				t.Errorf("%s's patches lead to %s, they may see %s", who, got, want)
			}
		}
	}
	// Why something was done is for whom it was done to, and for who keeps order.
	for _, path := range []string{"/requests/eve/deny", "/participants/eve"} {
		n.want(200, "POST", room+"/requests", eve, "")
		all(map[string]string{"others": "requested"})
		method, want := "POST", "denied"
		if strings.HasPrefix(path, "/participants") {
			method, want = "DELETE", "removed"
		}
		n.want(200, method, room+path, ada, `{"reason":"Not today."}`)
		all(map[string]string{"others": want})
		for who, e := range heard {
			reason, _ := e.data["reason"].(string)
			if told := who == "ada" || who == "eve"; told != (reason == "Not today.") {
				t.Errorf("%s hears %s for the reason %q", who, e.event, reason)
			}
		}
		check()
	}
	n.want(200, "POST", room+"/participants/bob/warn", ada, `{"reason":"Let others finish."}`)
	all(map[string]string{"ada": "warned", "bob": "warned", "others": "withheld"})
	check()
	n.want(200, "POST", room+"/participants/eve/warn", ada, `{"reason":"Loud.","public":true}`)
	all(map[string]string{"others": "warned"})
	check()
	n.want(200, "POST", room+"/requests", bob, "")
	all(map[string]string{"others": "requested"})
	n.want(200, "POST", room+"/requests/bob/approve", ada, "")
	all(map[string]string{"others": "approved"})
	n.want(200, "POST", room+"/pins", bob, `{"url":"https://example.org/birds"}`)
	all(map[string]string{"ada": "pin_proposed", "bob": "pin_proposed", "others": "withheld"})
	check()
	// Who becomes a co-host sees from then on what co-hosts see, and no longer when they are none.
	n.want(200, "PUT", room+"/participants/bob/role", ada, `{"role":"cohost"}`)
	all(map[string]string{"others": "role"})
	check()
	n.want(200, "PUT", room+"/participants/bob/role", ada, `{"role":"speaker"}`)
	all(map[string]string{"others": "role"})
	check()
}

// Streams end for whom the log says so: a ban in the room, a ban from the mesh, a token taken back.
func TestStreamsEndForTheRefused(t *testing.T) {
	log := new(eventlog.Memory)
	n, other := newNode(t, "us-east-1", log, nil), newNode(t, "eu-west-1", log, nil)
	base := serve(t, n)
	olga := bearer(t, "olga", func(c *token.Claims) { c.Operator = true })
	ada := bearer(t, "ada", nil)
	room := n.room(ada)
	for who, end := range map[rotunda.UserID]func(){
		"bob": func() { other.want(200, "DELETE", room+"/participants/bob", ada, `{"ban":true}`) },
		"cyd": func() { other.want(204, "PUT", "/v1/operator/bans/cyd", olga, `{"reason":"Spam."}`) },
		"dan": func() { other.want(204, "POST", "/v1/operator/revocations", olga, `{"token":"j-dan"}`) },
		"eve": func() { other.want(204, "POST", "/v1/profile/sign-out", bearer(t, "eve", nil), "") },
	} {
		next, _ := followAs(t, base, room, bearer(t, who, nil))
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
		end()
		if who != "bob" { // what the node does when the store says that there may be somebody
			<-n.people.Changed()
			n.api.EndRefused()
		}
		for i := 0; ; i++ {
			if _, err := next(); err != nil {
				break
			} else if i > 3 {
				t.Fatalf("%s's stream goes on", who)
			}
		}
		if a := n.ask("GET", room+"/events", bearer(t, who, nil), ""); a.status != 401 && a.status != 403 {
			t.Errorf("%s may follow again: %d", who, a.status)
		}
	}
}
