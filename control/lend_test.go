package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// The log is away, and a node is asked for a room that it has never had to do with: it has it from another node, with what was
// decided without the log meanwhile, restricts by it, and goes on from there when the log is back.
func TestRoomsAreLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		before := len(m.entries(id))
		away(a, b, c)
		a.do(id, ada, room.Mute{User: "bob"})
		time.Sleep(m.delay + time.Millisecond)

		var s *room.State
		if d := took(func() { s = b.get(id) }); d > 4*m.delay {
			t.Errorf("a room that another node knows took %v, want one round trip to it", d)
		}
		if !s.CanSpeak("cyd") || !s.Muted("bob") {
			t.Error("the room is not as it is where it was lent")
		}
		b.do(id, ada, room.Remove{User: "cyd", Ban: true})
		if _, err := b.Do(t.Context(), id, bob, room.Unmute{User: "bob"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("a grant: %v, want ErrUnavailable", err)
		}
		if _, seen := b.witness.position(id); seen {
			t.Error("a node vouches for what it was lent")
		}
		if answer := b.Lend(wishFor(t, id)); answer != nil {
			t.Error("what was lent is lent on")
		}
		w := b.watch(id)
		back(a, b, c)
		events := m.entries(id)[before:]
		if len(events) != 2 || events[0].Type != room.EventMuted || events[1].Type != room.EventRemoved {
			t.Fatalf("the log has %+v, want one mute and one ban", events)
		}
		a.do(id, ada, room.Edit{Title: new(string("Later"))})
		synctest.Wait()
		if w.now().Summary().Title != "Later" {
			t.Error("who was lent the room does not follow the log")
		}
		if at, _ := b.witness.position(id); at.Seq != uint64(before+3) {
			t.Errorf("the node vouches for the log up to %d, want %d", at.Seq, before+3)
		}
		if b.Lend(wishFor(t, id)) == nil {
			t.Error("what the log has confirmed is not lent")
		}
	})
}

// A node that has begun while the log is away has heard nothing: what was decided without the log comes with the room, also
// where the one who decided it is gone.
func TestWhatIsLentIsRestricted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, _ := m.three()
		id := stage(a.node)
		b.get(id)
		away(a, b)
		a.do(id, ada, room.Remove{User: "cyd", Ban: true})
		b.do(id, ada, room.Mute{User: "bob"})
		time.Sleep(m.delay + time.Millisecond)
		m.mu.Lock()
		m.cut["a"] = true
		m.mu.Unlock()
		d := m.start("d", t.TempDir())
		away(d)
		if s := d.get(id); !s.Banned("cyd") || s.CanSpeak("cyd") || !s.Muted("bob") {
			t.Error("who is banned or muted without the log is neither where the room was lent")
		}
		back(a, b, d)
	})
}

// The log is away and nobody lends: the answer is that it is unavailable, in time; the room is there when the log is back.
func TestNobodyLends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		away(a, b, c)
		m.mu.Lock()
		m.cut["a"] = true
		m.mu.Unlock()
		var err error
		if d := took(func() { _, err = b.Get(t.Context(), id) }); !errors.Is(err, ErrUnavailable) || d > commandMax {
			t.Errorf("after %v: %v, want ErrUnavailable within %v", d, err, commandMax)
		}
		back(a, b, c)
		b.get(id)
	})
}

// A node that does not answer costs a moment, not the room.
func TestAnotherOneLends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		b.get(id)
		m.mu.Lock()
		m.cut["a"] = true // its home
		m.mu.Unlock()
		away(a, b, c)
		if d := took(func() { c.get(id) }); d > lenderWait+4*m.delay {
			t.Errorf("the room took %v, want the answer of the second one asked", d)
		}
		back(a, b, c)
	})
}

// What is lent wrongly is not believed: another node is asked. What is nonsense is no question.
func TestLoansAreChecked(t *testing.T) {
	edit := func(f func(*loan)) func([]byte) []byte {
		return func(answer []byte) []byte {
			var l loan
			if err := json.Unmarshal(answer, &l); err != nil {
				return answer
			}
			f(&l)
			b, _ := json.Marshal(l)
			return b
		}
	}
	for name, lie := range map[string]func([]byte) []byte{
		"nothing":          func([]byte) []byte { return nil },
		"nonsense":         func([]byte) []byte { return []byte("{") },
		"too long":         func([]byte) []byte { return bytes.Repeat([]byte(" "), loanMax+1) },
		"another version":  edit(func(l *loan) { l.Version = 2 }),
		"another place":    edit(func(l *loan) { l.Seq++ }),
		"no place":         edit(func(l *loan) { l.Seq = 0 }),
		"a short hash":     edit(func(l *loan) { l.Hash = l.Hash[1:] }),
		"no state":         edit(func(l *loan) { l.Data = nil }),
		"a changed state":  edit(func(l *loan) { l.Data[len(l.Data)/2] ^= 1 }),
		"a forged fact":    edit(func(l *loan) { l.Facts = append(l.Facts, bytes.Repeat([]byte("x"), 100)) }),
		"a state too long": edit(func(l *loan) { l.Data = make([]byte, eventlog.SnapshotMax+1) }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t)
				a, b, c := m.three()
				id := stage(a.node)
				b.get(id)
				away(a, b, c)
				m.mu.Lock()
				m.lies["a"] = lie
				m.mu.Unlock()
				if s := c.get(id); !s.CanSpeak("bob") {
					t.Error("the room is not as it is")
				}
				back(a, b, c)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, _, _ := m.three()
		id := stage(a.node)
		for _, q := range []string{"", "{", "[]", `{"v":1}`, `{"v":2,"room":"` + string(id) + `"}`, `{"v":1,"room":"../` + string(id) + `"}`, `{"v":1,"room":"abcdefghij"}`} {
			if answer := a.Lend([]byte(q)); answer != nil {
				t.Errorf("%s is answered", q)
			}
		}
	})
}

// A node that has seen more of a room than others know, before it was started anew, does not go back to what they lend.
func TestNothingOlderIsBorrowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		b.get(id)
		away(b)
		at, err := m.log.Head(t.Context(), id)
		must(t, err)
		a.do(id, ada, room.Edit{Title: new(string("Later"))})
		later, err := m.log.Head(t.Context(), id)
		must(t, err)
		m.mu.Lock()
		m.cut["a"] = true
		m.mu.Unlock()
		away(a, c)
		for name, seen := range map[string]eventlog.Position{"more": later, "something else": {Seq: at.Seq}} {
			c.witness.note(id, seen)
			if _, err := c.Get(t.Context(), id); !errors.Is(err, ErrUnavailable) {
				t.Errorf("the node has seen %s: %v, want ErrUnavailable", name, err)
			}
			c.witness.mu.Lock()
			delete(c.witness.seen, id)
			c.witness.mu.Unlock()
		}
		c.get(id) // as far as it knows this is the newest there is
		back(a, b, c)
	})
}

// A node that lends what never was does not get it into the log, nor into the memory of the one that believed it.
func TestWhatNeverWasIsNotVouchedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		before := m.entries(id)
		away(a, b, c)
		m.mu.Lock()
		m.lies["a"] = func(answer []byte) []byte {
			s := a.peek(id).Clone()
			s.Apply(room.Event{ID: "made-up", Seq: s.Seq + 1, At: time.Now(), Type: room.EventLocked})
			data, err := pack(s)
			must(t, err)
			lie, err := json.Marshal(loan{Version: loanVersion, Seq: s.Seq, Hash: make([]byte, 32), Data: data})
			must(t, err)
			return lie
		}
		m.mu.Unlock()
		f, err := c.acquire(t.Context(), id) // somebody there uses it
		must(t, err)
		if s := c.get(id); s.Seq != uint64(len(before)+1) {
			t.Fatalf("the room is at %d, want what never was", s.Seq)
		}
		back(a, b, c)
		time.Sleep(2 * auditEvery)
		if _, seen := c.witness.position(id); seen {
			t.Error("the node vouches for what never was")
		}
		c.refused(id, ada, room.Edit{Title: new(string("Later"))}, ErrUnavailable)
		if got := m.entries(id); len(got) != len(before) {
			t.Errorf("the log has %d events, want %d", len(got), len(before))
		}
		c.release(f)
		time.Sleep(idleMax + time.Minute)
		if s := c.get(id); s.Seq != uint64(len(before)) {
			t.Errorf("the room is at %d, the log has %d", s.Seq, len(before))
		}
	})
}

func wishFor(t *testing.T, id rotunda.RoomID) []byte {
	b, err := json.Marshal(wish{loanVersion, id})
	must(t, err)
	return b
}

// Whatever another node says is a question or a loan, or is left alone.
func FuzzLoan(f *testing.F) {
	f.Add([]byte(`{"v":1,"room":"abcdefghij"}`))
	f.Add([]byte(`{"v":1,"seq":1,"hash":"AAAA","data":"AQ=="}`))
	f.Add([]byte(`{"v":1,"seq":1,"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","data":"AQEAAP//"}`))
	c := New(Config{Log: new(eventlog.Memory), Node: "a"})
	f.Fuzz(func(t *testing.T, b []byte) {
		if answer := c.Lend(b); answer != nil {
			t.Error("a room is lent that nobody knows")
		}
		if o, err := c.takeLoan("abcdefghij", b); err == nil && (o.state == nil || o.state.ID != "abcdefghij" || o.at.Seq != o.state.Seq) {
			t.Errorf("taken: %+v", o)
		}
	})
}
