package node

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"rotunda"
	"rotunda/cascade"
	"rotunda/control/api"
	"rotunda/node/presence"
)

const (
	// crowdEvery is how often a node says who it has in a room.
	crowdEvery = 300 * time.Millisecond
	// reactionFor is how long a reaction counts, in steps of reactionStep.
	reactionFor  = 2 * time.Second
	reactionStep = 500 * time.Millisecond
	// returnMax is how long somebody may be away and still count as one who has been here all along.
	returnMax = 30 * time.Second
)

// crowd is who is in a room on this node and what they show, and the sum of that over the mesh. The sum travels on a
// stream of its own that carries no frames, the program of epoch 0: on the same tree as the program, and without anything
// being mixed for it.
type crowd struct {
	id     rotunda.RoomID
	node   rotunda.NodeID
	mesh   *cascade.Mesh
	logger *slog.Logger
	room   *roomServer // whose it is

	mu        sync.Mutex // guards what follows; no call into the mesh is made while it is held
	attending map[*api.Attendee]struct{}
	since     map[rotunda.UserID]time.Time // here without a break
	left      map[rotunda.UserID]time.Time // of those who were and are not
	joined    int                          // since refreshed
	refreshed time.Time
	reactions map[int64]map[string]int // by step of time
	told      []byte                   // the part that was reported last
	sum       presence.Summary
	names     map[rotunda.UserID]string // what those on stage and in the queue call themselves now, where the log has another name
	json      json.RawMessage           // of sum and names; nil: no sum has come
	changed   chan struct{}             // closed and replaced with every other json

	// owned by roomServer.mu
	origin rotunda.NodeID
	sub    *cascade.Subscription
	pub    *cascade.Publication
}

func newCrowd(id rotunda.RoomID, node rotunda.NodeID, mesh *cascade.Mesh, logger *slog.Logger, room *roomServer) *crowd {
	return &crowd{
		id: id, node: node, mesh: mesh, logger: logger, room: room, attending: map[*api.Attendee]struct{}{}, since: map[rotunda.UserID]time.Time{},
		left: map[rotunda.UserID]time.Time{}, reactions: map[int64]map[string]int{}, changed: make(chan struct{}),
	}
}

// place joins the tree of the room whose home is origin, "" for none. It is called with roomServer.mu held.
func (c *crowd) place(origin rotunda.NodeID) {
	if origin == c.origin {
		return
	}
	if c.sub != nil {
		c.sub.Close()
		c.sub = nil
	}
	if c.pub != nil {
		c.pub.Close()
		c.pub = nil
	}
	c.origin = origin
	if origin == "" {
		return
	}
	stream := rotunda.StreamID{Room: c.id, Track: rotunda.Program}
	var err error
	if origin == c.node {
		if c.pub, err = c.mesh.Publish(stream); err != nil {
			c.logger.Error("the people of a room cannot be summed up", "room", c.id, "error", err)
		}
	}
	if c.sub, err = c.mesh.Subscribe(stream, origin, func(*rotunda.Frame) {}); err != nil {
		c.logger.Error("the people of a room cannot be counted", "room", c.id, "error", err)
		return
	}
	c.mu.Lock()
	c.told = nil
	c.mu.Unlock()
	c.sub.OnSum(c.take)
	c.sub.OnAsk(c.room.answer)
}

// take is told the sum over the mesh.
func (c *crowd) take(note []byte) {
	sum, err := presence.Decode(note)
	if err != nil {
		return
	}
	if sum.Reactions == nil {
		sum.Reactions = map[string]int{}
	}
	if sum.Roster == nil {
		sum.Roster = []presence.Person{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum = sum
	c.tell()
}

// call takes in what those on stage and in the queue call themselves now, where it is another name than the one in the log. Every node
// knows everybody's profile, so this is not summed up.
func (c *crowd) call(names map[rotunda.UserID]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if maps.Equal(names, c.names) {
		return
	}
	c.names = names
	if c.json != nil {
		c.tell()
	}
}

// tell has those who follow the room told, unless they know. The caller holds c.mu.
func (c *crowd) tell() {
	b, err := json.Marshal(struct {
		presence.Summary
		Names map[rotunda.UserID]string `json:"names,omitempty"`
	}{c.sum, c.names})
	if err != nil || bytes.Equal(b, c.json) { // texts and numbers always encode
		return
	}
	c.json = b
	close(c.changed)
	c.changed = make(chan struct{})
}

// newest is the newest sum, nil where there is none; changed is closed with the next.
func (c *crowd) newest() (sum presence.Summary, b json.RawMessage, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum, c.json, c.changed
}

// attend adds a follower of the room's events.
func (c *crowd) attend(who api.Attendee) (leave func()) {
	a := &who
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attending[a] = struct{}{}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.attending, a)
	})
}

func (c *crowd) react(now time.Time, emoji string) {
	step := now.UnixNano() / int64(reactionStep)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reactions[step] == nil {
		c.reactions[step] = map[string]int{}
	}
	c.reactions[step][emoji]++
}

// sinceWhen is from when u has been here without a break; zero: is not here.
func (c *crowd) sinceWhen(u rotunda.UserID) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since[u]
}

// here lists who has a session of any kind; sessions are those of media.
func (c *crowd) here(sessions []rotunda.UserID) map[rotunda.UserID]bool {
	here := map[rotunda.UserID]bool{}
	for _, u := range sessions {
		here[u] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for a := range c.attending {
		here[a.User] = true
	}
	delete(here, "") // nobody in particular
	return here
}

// note takes in who is here now, and returns the part of the sum that is this node's, if it is another than before. Whoever is
// on stage is seen there and is not one of the crowd.
func (c *crowd) note(now time.Time, listeners []rotunda.UserID, onStage func(rotunda.UserID) bool, here map[rotunda.UserID]bool, refreshed time.Time) (part []byte, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !refreshed.Equal(c.refreshed) {
		c.refreshed, c.joined = refreshed, 0
	}
	for u := range here {
		delete(c.left, u)
		if _, known := c.since[u]; !known {
			c.since[u] = now
			c.joined++
		}
	}
	for u := range c.since {
		if here[u] {
			continue
		}
		if _, known := c.left[u]; !known {
			c.left[u] = now
		} else if now.Sub(c.left[u]) > returnMax {
			delete(c.since, u)
			delete(c.left, u)
		}
	}
	s := presence.Summary{Listeners: distinct(listeners), Joined: c.joined, Reactions: c.recent(now), Roster: c.roster(onStage)}
	part = s.Encode()
	changed = !bytes.Equal(part, c.told)
	c.told = part
	return part, changed
}

// distinct counts people, and everybody who is nobody in particular.
func distinct(users []rotunda.UserID) int {
	n, seen := 0, map[rotunda.UserID]bool{}
	for _, u := range users {
		if u == "" || !seen[u] {
			n++
		}
		seen[u] = true
	}
	return n
}

// recent counts the reactions of the last reactionFor. The caller holds c.mu.
func (c *crowd) recent(now time.Time) map[string]int {
	var counts map[string]int
	for step, some := range c.reactions {
		if now.UnixNano()/int64(reactionStep)-step > int64(reactionFor/reactionStep) {
			delete(c.reactions, step)
			continue
		}
		for emoji, n := range some {
			if counts == nil {
				counts = map[string]int{}
			}
			counts[emoji] += n
		}
	}
	return counts
}

// roster is a sample of those who may be named. The caller holds c.mu.
func (c *crowd) roster(onStage func(rotunda.UserID) bool) []presence.Person {
	seen := map[rotunda.UserID]presence.Person{}
	for a := range c.attending {
		if said, _ := c.room.profile(a.User); !said.Hidden && a.User != "" && !onStage(a.User) {
			seen[a.User] = presence.Person{User: a.User, Name: cmp.Or(said.Name, a.Name), Avatar: a.Avatar}
		}
	}
	people := make([]presence.Person, 0, len(seen))
	for _, p := range seen {
		people = append(people, p)
	}
	return slices.Clip(presence.Sample(people))
}
