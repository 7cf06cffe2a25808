// Package relay decides for each frame which ports it goes to, or why it goes no further, and for each control message
// what has to be said to whom. It is the routing table of one node, and nothing but a table: links, clocks and sockets
// belong to the caller, who does what the returned actions say, in their order.
//
// The invariants:
//   - A stream is pulled once, whoever takes it, and let go as soon as nobody does. Only while a path changes are there two
//     pulls: the old one ends when the new one has brought its first frame.
//   - A node that serves a subscription with n hops left pulls along a path of at most n hops. Along a chain of pulls
//     the number of hops left falls, so pulls never close a circle, whatever the nodes' views of the members are.
//   - A frame passes a node at most once (window of sequence numbers) and crosses at most rotunda.HopsMax links.
//
// A Core is not safe for concurrent use.
package relay

import (
	"slices"

	"rotunda"
	"rotunda/cascade/wire"
)

// Limits on what other nodes can make this one remember.
const (
	// DownsMax is the most subscriptions that one port may hold.
	DownsMax = 8192
	// StreamsMax is the most streams a node carries; with 20 speakers and a program, 3000 rooms.
	StreamsMax = 65536
)

// Port is a peer with a link. The caller numbers them and uses no number twice.
type Port uint32

// Key names a stream and where it starts.
type Key struct {
	Stream rotunda.StreamID
	Origin rotunda.NodeID
}

// Out is one place to send a frame to: a port, and the alias that the node there chose.
type Out struct {
	Port  Port
	Alias wire.Alias
}

// Stream is what a node knows of one stream.
type Stream struct {
	Key Key

	local     bool // somebody on this node takes it
	published bool // this node is the origin and has it
	silenced  bool // no frame of it goes further
	outs      []Out
	depths    []int       // parallel to outs: hops that the subscriber said were left from here
	ups       []*upstream // oldest first, at most two; the last is the one wanted
	window    window
}

// upstream is one pull, asked for or waiting for its link.
type upstream struct {
	stream *Stream
	path   []rotunda.NodeID // from this node's next hop to the origin
	in     Out              // Port 0: waits for the link to path[0]
	heard  bool             // a frame has come
}

// Outs is where the frames of the stream go, apart from this node. It is valid until the next call to the Core.
func (s *Stream) Outs() []Out { return s.outs }

// Wanted reports whether anybody takes the stream.
func (s *Stream) Wanted() bool { return s.local || len(s.outs) > 0 }

// Path returns the path that the stream is to come by; nil when there is none at present.
func (s *Stream) Path() []rotunda.NodeID {
	if len(s.ups) == 0 {
		return nil
	}
	return s.ups[len(s.ups)-1].path
}

// Unsettled reports that a new path has brought its first frame while the old one is still there: call Settle.
func (s *Stream) Unsettled() bool { return len(s.ups) > 1 && s.ups[len(s.ups)-1].heard }

// ActionKind says which fields of an Action count.
type ActionKind uint8

// The kinds of action.
const (
	Send   ActionKind = iota + 1 // send Message to Port
	Dial                         // bring up a link to Node, then call LinkUp, or Unreachable
	Replan                       // the path of Key, wanted here, broke at Node when going through Via: call Want with another
	Wanted                       // Wanted of Key, published here, has changed
)

// Action is one thing for the caller to do.
type Action struct {
	Kind    ActionKind
	Port    Port
	Message wire.Message
	Node    rotunda.NodeID
	Via     rotunda.NodeID
	Key     Key
	Reason  wire.Reason
}

// Core is the table of one node.
type Core struct {
	self    rotunda.NodeID
	streams map[Key]*Stream
	ports   map[Port]rotunda.NodeID
	links   map[rotunda.NodeID]Port
	ups     map[Out]*upstream // by what arriving frames carry
	downs   map[Out]*Stream   // by what subscribers chose
	held    map[Port]int      // subscriptions per port
	alias   wire.Alias        // last one given out
	silent  map[rotunda.RoomID][]rotunda.Track
	actions []Action
}

// New makes the table of node self.
func New(self rotunda.NodeID) *Core {
	return &Core{
		self: self, streams: map[Key]*Stream{}, ports: map[Port]rotunda.NodeID{}, links: map[rotunda.NodeID]Port{},
		ups: map[Out]*upstream{}, downs: map[Out]*Stream{}, held: map[Port]int{}, silent: map[rotunda.RoomID][]rotunda.Track{},
	}
}

// Stats counts what the table holds.
type Stats struct {
	Streams int
	In      int // streams pulled from other nodes
	Out     int // subscriptions of other nodes
}

// Stats counts what the table holds now.
func (c *Core) Stats() Stats {
	return Stats{Streams: len(c.streams), In: len(c.ups), Out: len(c.downs)}
}

// Busy reports whether any stream goes over the port in either direction.
func (c *Core) Busy(p Port) bool {
	if c.held[p] > 0 {
		return true
	}
	for in := range c.ups { // rarely asked: once a second and link, and only of links with no subscriber
		if in.Port == p {
			return true
		}
	}
	return false
}

// Arrive takes a frame that came from port p under alias a. It counts the hop in f and returns the stream; its Outs and
// the takers on this node get the frame unless there is a reason to drop it. s is nil only with DropUnknown. It allocates
// nothing.
func (c *Core) Arrive(p Port, a wire.Alias, f *rotunda.Frame) (s *Stream, d Drop) {
	u, ok := c.ups[Out{p, a}]
	if !ok {
		return nil, DropUnknown
	}
	u.heard = true
	if u.stream.silenced {
		return u.stream, DropSilenced
	}
	if f.Hops >= rotunda.HopsMax {
		return u.stream, DropHops
	}
	if d := u.stream.window.accept(f.Seq); d != "" {
		return u.stream, d
	}
	f.Hops++
	return u.stream, ""
}

// Settle ends the old pull of a stream whose new path works.
func (c *Core) Settle(s *Stream) []Action {
	for s.Unsettled() {
		c.release(s.ups[0])
		s.ups = s.ups[1:]
	}
	return c.take()
}

// Want says that somebody on this node takes the stream, along path from the next hop to the origin; nil when no path is
// known yet, or the origin is this node. Called again it changes the path, the old one going on until the new one works; a
// path with more hops than a subscriber of this node counts on is not taken. s is nil when the table is full.
func (c *Core) Want(k Key, path []rotunda.NodeID) (s *Stream, actions []Action) {
	if s = c.stream(k); s == nil {
		return nil, nil
	}
	before := s.Wanted()
	s.local = true
	c.wanted(s, before)
	if len(path) > 0 && k.Origin != c.self && !slices.ContainsFunc(s.depths, func(d int) bool { return d < len(path) }) {
		c.repath(s, path)
	}
	return s, c.take()
}

// Unwant says that nobody on this node takes the stream any more.
func (c *Core) Unwant(k Key) []Action {
	if s, ok := c.streams[k]; ok && s.local {
		s.local = false
		c.wanted(s, true)
		c.letGo(s)
	}
	return c.take()
}

// Publish says that this node is the origin of the stream. s is nil when the table is full.
func (c *Core) Publish(id rotunda.StreamID) (s *Stream) {
	if s = c.stream(Key{id, c.self}); s != nil {
		s.published = true
	}
	return s
}

// Unpublish ends what Publish began. Subscriptions stay, for the next publication.
func (c *Core) Unpublish(id rotunda.StreamID) {
	if s, ok := c.streams[Key{id, c.self}]; ok {
		s.published = false
		c.letGo(s)
	}
}

// stream finds or makes the entry of k.
func (c *Core) stream(k Key) *Stream {
	s, ok := c.streams[k]
	if !ok {
		if len(c.streams) >= StreamsMax {
			return nil
		}
		s = &Stream{Key: k, silenced: slices.Contains(c.silent[k.Stream.Room], k.Stream.Track)}
		c.streams[k] = s
	}
	return s
}

// wanted tells the publisher when Wanted is not what it was before.
func (c *Core) wanted(s *Stream, before bool) {
	if s.published && s.Wanted() != before {
		c.do(Action{Kind: Wanted, Key: s.Key})
	}
}

// letGo ends the pulls of a stream that nobody takes, and forgets it.
func (c *Core) letGo(s *Stream) {
	if s.Wanted() {
		return
	}
	for _, u := range s.ups {
		c.release(u)
	}
	s.ups = nil
	if !s.published {
		delete(c.streams, s.Key)
	}
}

// release ends one pull; the caller takes it out of the stream.
func (c *Core) release(u *upstream) {
	if u.in.Port != 0 {
		delete(c.ups, u.in)
		c.send(u.in.Port, wire.Unsubscribe{Alias: u.in.Alias})
	}
}

// repath makes path the one wanted. A pull that works goes on until the new one does.
func (c *Core) repath(s *Stream, path []rotunda.NodeID) {
	same := slices.IndexFunc(s.ups, func(u *upstream) bool { return slices.Equal(u.path, path) })
	var keep []*upstream
	for i, u := range s.ups {
		// Of the others the oldest stays, if it was asked: it may be working.
		if i == same || same != 0 && i == 0 && u.in.Port != 0 {
			keep = append(keep, u)
		} else {
			c.release(u)
		}
	}
	s.ups = keep
	if same < 0 {
		u := &upstream{stream: s, path: slices.Clone(path)}
		s.ups = append(s.ups, u)
		c.ask(u)
	}
}

// ask sends the subscribe of u, or has the link brought up for it.
func (c *Core) ask(u *upstream) {
	p, ok := c.links[u.path[0]]
	if !ok {
		c.do(Action{Kind: Dial, Node: u.path[0]})
		return
	}
	c.alias++
	if !c.alias.Valid() {
		panic("relay: a thousand million aliases") // at one a millisecond, twelve days of nothing else
	}
	u.in = Out{p, c.alias}
	c.ups[u.in] = u
	c.send(p, wire.Subscribe{Alias: c.alias, Stream: u.stream.Key.Stream, Path: u.path[1:]})
}

func (c *Core) do(a Action) { c.actions = append(c.actions, a) }

func (c *Core) send(p Port, m wire.Message) { c.do(Action{Kind: Send, Port: p, Message: m}) }

// take hands out the actions gathered.
func (c *Core) take() []Action {
	a := c.actions
	c.actions = nil
	return a
}
