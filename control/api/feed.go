package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/room"
)

// sharedMax is how many encoded changes of a room are kept for its readers, and how far behind the foremost of them a
// reader may fall before it is cut: it resumes, with Last-Event-ID or a snapshot, when it comes back.
const sharedMax = 256

// feeds encodes each change once for all readers of a room on this node, whatever their number. It keeps a room only
// while it has readers.
type feeds struct {
	mu     sync.Mutex // guards byRoom and the users of each feed
	byRoom map[rotunda.RoomID]*feed
}

// feed is what the readers of one room share. Encoded messages are never changed.
type feed struct {
	users int // guarded by feeds.mu

	mu       sync.Mutex // guards the rest
	newest   uint64     // highest sequence number asked for
	messages map[uint64][]byte
	state    *room.State    // the state whose view is tree
	tree     map[string]any // as generic JSON
	snapshot []byte         // of whole, encoded
	whole    *room.State    // one number of the log may show as several, while decisions wait for it
}

// use returns the room's feed. Who uses a feed leaves it.
func (fs *feeds) use(id rotunda.RoomID) *feed {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byRoom[id]
	if f == nil {
		f = &feed{messages: map[uint64][]byte{}}
		fs.byRoom[id] = f
	}
	f.users++
	return f
}

func (fs *feeds) leave(id rotunda.RoomID, f *feed) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.users--; f.users == 0 {
		delete(fs.byRoom, id)
	}
}

// personal reports whether u sees anything of the room that others do not: then the shared messages are not for them.
func personal(s *room.State, u rotunda.UserID) bool {
	if s == nil || u == "" {
		return false
	}
	if s.Role(u).Rank() >= rotunda.Cohost.Rank() || s.Warned(u).Count > 0 {
		return true
	}
	_, waiting := s.Pins()
	return slices.ContainsFunc(waiting, func(p room.Pin) bool { return p.User == u })
}

// told reports whether e says something to u that the shared message leaves out: why something was done to them.
func told(e room.Event, u rotunda.UserID) bool {
	return u != "" && e.Reason != "" && (u == e.User || u == e.By)
}

// message is c as it goes over the wire to reader (empty: somebody of whom nothing is known). behind says that other
// readers are more than sharedMax further.
func (f *feed) message(c control.Change, reader rotunda.UserID) (b []byte, behind bool, err error) {
	if personal(c.State, reader) || personal(c.Before, reader) || told(c.Event, reader) {
		b, err = encodeFor(c, reader)
		return b, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seq := c.State.Seq
	f.newest = max(f.newest, seq)
	if c.Event.Type == "" {
		if f.snapshot == nil || f.whole != c.State {
			if f.snapshot, err = encodeSnapshot(c.State, ""); err != nil {
				return nil, false, err
			}
			f.whole = c.State
		}
		return f.snapshot, false, nil
	}
	if b, ok := f.messages[seq]; ok {
		return b, false, nil
	}
	if f.newest-seq > sharedMax {
		return nil, true, nil
	}
	if b, err = f.encode(c); err != nil {
		return nil, false, err
	}
	f.messages[seq] = b
	if len(f.messages) > sharedMax {
		for seq := range f.messages {
			if f.newest-seq >= sharedMax {
				delete(f.messages, seq)
			}
		}
	}
	return b, false, nil
}

// changeBody is the data of a change in the stream.
type changeBody struct {
	Seq  uint64         `json:"seq"`
	Type room.EventType `json:"type"`
	At   time.Time      `json:"at"`
	By   rotunda.UserID `json:"by,omitempty"`
	User rotunda.UserID `json:"user,omitempty"`

	Reason string `json:"reason,omitempty"`
	Count  int    `json:"count,omitempty"`  // of warnings
	Joined int    `json:"joined,omitempty"` // since the refresh before

	Patch map[string]any `json:"patch"` // RFC 7396, from the view before to the view after
}

// encode makes the message of a change. f.mu is held.
func (f *feed) encode(c control.Change) ([]byte, error) {
	before := f.tree
	if f.state != c.Before { // mostly the change before this one was encoded last
		var err error
		if before, err = tree(c.Before.View()); err != nil {
			return nil, err
		}
	}
	after, err := tree(c.State.View())
	if err != nil {
		return nil, err
	}
	f.state, f.tree = c.State, after
	return encodeChange(c.Event.For(c.State, ""), mergeDiff(before, after))
}

// encodeFor makes a message that is for one reader only.
func encodeFor(c control.Change, reader rotunda.UserID) ([]byte, error) {
	if c.Event.Type == "" {
		return encodeSnapshot(c.State, reader)
	}
	before, err := tree(c.Before.ViewFor(reader))
	if err != nil {
		return nil, err
	}
	after, err := tree(c.State.ViewFor(reader))
	if err != nil {
		return nil, err
	}
	return encodeChange(c.Event.For(c.State, reader), mergeDiff(before, after))
}

func encodeChange(e room.Event, patch map[string]any) ([]byte, error) {
	b, err := json.Marshal(changeBody{
		Seq: e.Seq, Type: e.Type, At: e.At, By: e.By, User: e.User, Reason: e.Reason, Count: e.Count, Joined: e.Joined, Patch: patch,
	})
	if err != nil {
		return nil, fmt.Errorf("encode a change: %v", err)
	}
	return encodeEvent(string(e.Type), e.Seq, b), nil
}

func encodeSnapshot(s *room.State, reader rotunda.UserID) ([]byte, error) {
	b, err := json.Marshal(s.ViewFor(reader))
	if err != nil {
		return nil, fmt.Errorf("encode a snapshot: %v", err)
	}
	return encodeEvent("snapshot", s.Seq, b), nil
}

// toldBody is why something was done to its reader without the log; the snapshot that comes next says that it was.
type toldBody struct {
	Type   room.EventType `json:"type"`
	At     time.Time      `json:"at"`
	By     rotunda.UserID `json:"by,omitempty"`
	User   rotunda.UserID `json:"user"`
	Reason string         `json:"reason"`
}

// encodeReasons are the events that tell u why, of decisions that are not in the log. They have no id: they have no place in it.
func encodeReasons(facts []room.Event, u rotunda.UserID) (b []byte, err error) {
	for _, e := range facts {
		if u != e.User || !told(e, u) {
			continue
		}
		data, err := json.Marshal(toldBody{Type: e.Type, At: e.At, By: e.By, User: e.User, Reason: e.Reason})
		if err != nil {
			return nil, fmt.Errorf("encode a reason: %v", err)
		}
		b = fmt.Appendf(b, "event: reason\ndata: %s\n\n", data)
	}
	return b, nil
}

// encodeEvent is one event as text/event-stream has it (HTML standard §9.2.6). data is JSON, which has no line breaks.
func encodeEvent(name string, seq uint64, data []byte) []byte {
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c == '_') { // of a newer version's log: no name may break the line
			name = "change"
			break
		}
	}
	b := make([]byte, 0, len(name)+len(data)+48)
	b = append(b, "event: "...)
	b = append(b, name...)
	b = append(b, "\nid: "...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	return append(b, "\n\n"...)
}
