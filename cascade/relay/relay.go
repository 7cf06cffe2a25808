// Package relay decides for each frame which ports it goes to, or why it goes no further, and for each control message
// what has to be said to whom. It is the routing table of one node, and nothing but a table: links, clocks and sockets
// belong to the caller, who does what the returned actions say, in their order.
//
// The invariants:
//   - A stream is pulled by two ways at most, over different first hops, whoever takes it, and let go as soon as nobody does.
//     While a way changes the old pull goes on until the new one is proven (prove), or for quietMax seconds.
//   - A subscription with n hops left is served only while a wanted pull has a path of at most n hops, and is told when none
//     has any more. The pull that serves it is a subscription with fewer hops left at the next node, and so on down to the
//     origin, which has none left: so every subscription that is served hangs on a chain of pulls that reaches the origin,
//     and nodes never serve each other in a circle without it, whatever their views of the members are. Pulls that are not
//     in that chain (the longer of two) may well close circles; they bring copies and nobody depends on them.
//   - A frame passes a node at most once (window of sequence numbers), whichever way it comes by, and crosses at most
//     rotunda.HopsMax links.
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
	// resumesMax is how many replays a subscription gets: what a subscriber has missed itself, and what those have who take
	// the stream through it.
	resumesMax = 2
	// WaysMax is by how many ways a stream is pulled.
	WaysMax = 2
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
	subs      []sub       // parallel to outs
	ups       []*upstream // pulls that are wanted, at most WaysMax, each over another first hop
	own       []*upstream // those of them that who takes it here asked for, best first
	lead      *upstream   // brought the newest frame
	window    window
	history   *history // what passed lately; nil: nothing
	idle      int      // calls of Tidy for which nobody has taken the stream
	age       int64    // see View
	oldest    int64
}

// sub is one subscriber.
type sub struct {
	path    []rotunda.NodeID // the hops that are left from here, as it said
	by      *upstream        // the pull that serves it; nil where this node is the origin
	resumed int              // replays that it has had
}

// upstream is one pull, asked for or waiting for its link.
type upstream struct {
	stream *Stream
	path   []rotunda.NodeID // from this node's next hop to the origin
	in     Out              // Port 0: waits for the link to path[0]
	heard  bool             // a frame has come
	after  rotunda.Seq      // the newest frame that had been here when this pull was asked for
	proven bool             // a frame has come that shows that the way reaches the origin without this node
	old    *upstream        // the pull that goes on until this one is proven; it has none itself
	waited int              // calls of Tidy since this one could have been proven
	resume bool             // frames from number from on are wanted
	from   rotunda.Seq
	tally  tally
}

// Outs is where the frames of the stream go, apart from this node. It is valid until the next call to the Core.
func (s *Stream) Outs() []Out { return s.outs }

// Wanted reports whether anybody takes the stream.
func (s *Stream) Wanted() bool { return s.local || len(s.outs) > 0 }

// Path returns the first of the paths that the stream is to come by; nil when there is none at present.
func (s *Stream) Path() []rotunda.NodeID {
	if len(s.ups) == 0 {
		return nil
	}
	return s.ups[0].path
}

// Shortest is the path of fewest hops that the stream is to come by; nil when there is none at present. Following it from
// node to node leads to the origin.
func (s *Stream) Shortest() (path []rotunda.NodeID) {
	for _, u := range s.ups {
		if path == nil || len(u.path) < len(path) {
			path = u.path
		}
	}
	return path
}

// Unsettled reports that a new way is proven while the old one is still there: call Settle.
func (s *Stream) Unsettled() bool {
	for _, u := range s.ups {
		if u.proven && u.old != nil {
			return true
		}
	}
	return false
}

// ActionKind says which fields of an Action count.
type ActionKind uint8

// The kinds of action.
const (
	Send   ActionKind = iota + 1 // send Message to Port
	Dial                         // bring up a link to Node, then call LinkUp, or Unreachable
	Replan                       // a way of Key, wanted here, broke at Node when going through Via: call Want with other ways
	Wanted                       // Wanted of Key, published here, has changed
	Replay                       // send Key's frames from number From on (Core.From) to Port under Alias
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
	Alias   wire.Alias
	From    rotunda.Seq
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
	suspect map[Port]bool     // nothing comes through them lately
	alias   wire.Alias        // last one given out
	silent  map[rotunda.RoomID][]rotunda.Track
	kept    int // streams with a history
	counts  Counts
	actions []Action
}

// New makes the table of node self.
func New(self rotunda.NodeID) *Core {
	return &Core{
		self: self, streams: map[Key]*Stream{}, ports: map[Port]rotunda.NodeID{}, links: map[rotunda.NodeID]Port{},
		ups: map[Out]*upstream{}, downs: map[Out]*Stream{}, held: map[Port]int{}, silent: map[rotunda.RoomID][]rotunda.Track{}, suspect: map[Port]bool{},
	}
}

// Stats counts what the table holds.
type Stats struct {
	Streams int
	In      int // pulls from other nodes
	Out     int // subscriptions of other nodes
}

// Counts counts frames that arrived, since the beginning.
type Counts struct {
	Copies   uint64 // all of them: what two ways cost is Copies ÷ Taken
	Taken    uint64 // those that were new
	Repaired uint64 // of these, those that had been missing on the way that is ahead
}

// Counts returns what has been counted so far.
func (c *Core) Counts() Counts { return c.counts }

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
	s = u.stream
	u.heard = true
	u.prove(f)
	c.counts.Copies++
	if s.silenced {
		return s, DropSilenced
	}
	if f.Hops >= rotunda.HopsMax {
		return s, DropHops
	}
	newest := s.window.newest
	d = s.window.accept(f.Seq)
	u.tally.frame(f.Seq, d == "")
	if d != "" {
		return s, d
	}
	u.proven = true
	c.counts.Taken++
	switch {
	case s.window.newest != newest || s.lead == nil:
		s.lead = u
	case s.lead != u:
		c.counts.Repaired++
	}
	f.Hops++
	c.Keep(s, f)
	return s, ""
}

// prove looks whether f shows that the way of u reaches the origin without this node. A frame that was not here before does;
// so does one that has been, when it is younger than the pull and has crossed no more links than the way has, for one that
// has gone through here has crossed those as well. What a neighbour kept and sends once more shows nothing: two that lose
// their way at once and choose each other would let go of what still works.
func (u *upstream) prove(f *rotunda.Frame) {
	u.proven = u.proven || f.Seq > u.after && int(f.Hops) < len(u.path)
}

// Settle ends the old pulls of a stream whose new ways are proven.
func (c *Core) Settle(s *Stream) []Action {
	for _, u := range s.ups {
		if u.proven && u.old != nil {
			c.release(u.old)
			u.old = nil
		}
	}
	return c.take()
}

// Want says that somebody on this node takes the stream, by a primary path from the next hop to the origin and a backup
// over another first hop; backup is nil where one way is to do, both are when no path is known yet or the origin is this
// node. Called again it changes the ways, the old ones going on until the new ones work. s is nil when the table is full.
func (c *Core) Want(k Key, primary, backup []rotunda.NodeID) (s *Stream, actions []Action) {
	if s = c.stream(k); s == nil {
		return nil, nil
	}
	before := s.Wanted()
	s.local = true
	c.wanted(s, before)
	if len(primary) > 0 && k.Origin != c.self {
		paths := [][]rotunda.NodeID{slices.Clone(primary)}
		if len(backup) > 0 && backup[0] != primary[0] {
			paths = append(paths, slices.Clone(backup))
		}
		c.choose(s, paths)
	}
	return s, c.take()
}

// Unwant says that nobody on this node takes the stream any more.
func (c *Core) Unwant(k Key) []Action {
	if s, ok := c.streams[k]; ok && s.local {
		s.local, s.own = false, nil
		c.wanted(s, true)
		c.settle(s)
	}
	return c.take()
}

// Publish says that this node is the origin of the stream. s is nil when the table is full.
func (c *Core) Publish(id rotunda.StreamID) (s *Stream) {
	if s = c.stream(Key{id, c.self}); s != nil {
		s.published = true
		c.forgetHistory(s) // numbers may begin anew
	}
	return s
}

// Unpublish ends what Publish began. Subscriptions stay, for the next publication.
func (c *Core) Unpublish(id rotunda.StreamID) {
	if s, ok := c.streams[Key{id, c.self}]; ok {
		s.published = false
		c.settle(s)
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

func (c *Core) do(a Action) { c.actions = append(c.actions, a) }

func (c *Core) send(p Port, m wire.Message) { c.do(Action{Kind: Send, Port: p, Message: m}) }

// take hands out the actions gathered.
func (c *Core) take() []Action {
	a := c.actions
	c.actions = nil
	return a
}
