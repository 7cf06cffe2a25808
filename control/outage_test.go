package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// The log is away: a mute and a ban act on every node at once, grants are refused, and on return the log has both decisions
// once, in order; nobody who was banned comes back.
func TestRestrictingGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		wb, wc := b.watch(id), c.watch(id)
		before := len(m.entries(id))
		away(a, b, c)

		var s *room.State
		if d := took(func() { s = b.do(id, ada, room.Mute{User: "bob"}) }); d > 10*time.Millisecond {
			t.Errorf("a mute without the log took %v", d)
		}
		if !s.Muted("bob") || !b.get(id).Muted("bob") || !wb.now().Muted("bob") {
			t.Error("bob is not muted where it was decided")
		}
		b.do(id, ada, room.Remove{User: "cyd", Ban: true})
		time.Sleep(m.delay)
		synctest.Wait()
		for name, w := range map[string]*watching{"b": wb, "c": wc} {
			if now := w.now(); !now.Muted("bob") || !now.Banned("cyd") || now.CanSpeak("cyd") {
				t.Errorf("%s: not enforced one way after it was decided", name)
			}
		}
		for _, err := range []error{
			func() error { _, err := a.Do(t.Context(), id, bob, room.Unmute{User: "bob"}); return err }(),
			func() error {
				_, err := c.Do(t.Context(), id, ada, room.SetRole{User: "bob", Role: rotunda.Cohost})
				return err
			}(),
		} {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("a grant without the log: %v, want ErrUnavailable", err)
			}
		}
		a.refused(id, room.Actor{User: "cyd"}, room.Mute{User: "bob"}, room.ErrForbidden)
		a.do(id, ada, room.Mute{User: "bob"}) // is so already

		back(a, b, c)
		events := m.entries(id)[before:]
		if len(events) != 2 || events[0].Type != room.EventMuted || events[1].Type != room.EventRemoved || !events[1].Ban {
			t.Fatalf("the log has %+v, want one mute and one ban", events)
		}
		for _, n := range []*meshNode{a, b, c} {
			if n.outage.pending(id) {
				t.Errorf("%s: facts are still open", n.cfg.Node)
			}
			if files, _ := os.ReadDir(n.dir); len(files) != 0 {
				t.Errorf("%s: %d files are left", n.cfg.Node, len(files))
			}
		}
		c.refused(id, cyd, room.Request{}, room.ErrBanned)
		a.do(id, bob, room.Unmute{User: "bob"}) // with the log, it is bob's again
		time.Sleep(time.Minute)
		if s := c.get(id); s.Muted("bob") || !s.Banned("cyd") {
			t.Error("a minute later the facts count twice, or no more")
		}
		if n := len(m.entries(id)); n != before+3 {
			t.Errorf("%d events in the log, want %d", n, before+3)
		}
	})
}

// One node is cut off from the log, the others are not. What it decides acts everywhere, is in the log before anything is
// given by the others, and is there once.
func TestOneNodeCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, _ := m.three()
		id := stage(a.node)
		b.watch(id)
		away(a)
		a.do(id, ada, room.Remove{User: "cyd", Ban: true})
		time.Sleep(m.delay + time.Millisecond)
		synctest.Wait()
		b.refused(id, cyd, room.Unmute{User: "cyd"}, room.ErrForbidden)
		b.do(id, ada, room.Edit{Title: new(string("Later"))})
		events := m.entries(id)
		if n := len(events); events[n-2].Type != room.EventRemoved || events[n-1].Type != room.EventEdited {
			t.Errorf("the log ends with %s, %s; want the ban before what came after", events[n-2].Type, events[n-1].Type)
		}
		back(a)
		if again := m.entries(id); len(again) != len(events) {
			t.Errorf("the ban is in the log again: %+v", again[len(events):])
		}
		if a.outage.pending(id) {
			t.Error("still open where it was decided")
		}
	})
}

// A node is cut off from the log. Who is banned by it, elsewhere, is refused there too; when the log is back the ban is there
// once.
func TestBansReachTheCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		w := a.watch(id)
		c.get(id)
		away(a)
		b.do(id, ada, room.Remove{User: "cyd", Ban: true, Reason: "noise"})
		n := len(m.entries(id))
		time.Sleep(m.delay + time.Millisecond)
		synctest.Wait()
		if s := w.now(); !s.Banned("cyd") || s.CanSpeak("cyd") {
			t.Error("cyd is not refused where the log cannot be seen")
		}
		w.mu.Lock()
		if len(w.facts) != 1 || w.facts[0].Reason != "noise" {
			t.Errorf("there it is told as %+v, want the reason with it", w.facts)
		}
		w.mu.Unlock()
		a.refused(id, cyd, room.Mute{User: "cyd"}, room.ErrForbidden)
		if c.outage.over(id, c.get(id)) != c.peek(id) {
			t.Error("a node that has the log lays over it what is there")
		}
		back(a)
		b.do(id, ada, room.Unban{User: "cyd"})
		time.Sleep(time.Second)
		if got := len(m.entries(id)); got != n+1 {
			t.Errorf("%d events in the log, want %d", got, n+1)
		}
		for _, node := range []*meshNode{a, b, c} {
			if s := node.get(id); s.Banned("cyd") {
				t.Errorf("%s: still banned after the ban was lifted", node.cfg.Node)
			}
			node.outage.mu.Lock()
			if node.outage.all != 0 {
				t.Errorf("%s: %d facts are kept", node.cfg.Node, node.outage.all)
			}
			node.outage.mu.Unlock()
		}
	})
}

// The log was only slow: it has the mute already when the fact comes, and the person has opened their microphone since.
// Nobody who still holds the fact shuts it again.
func TestSlowLogMutesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		w := c.watch(id)
		a.log.onAppend(func(ctx context.Context, id rotunda.RoomID, batch eventlog.Batch) (bool, error) {
			if _, err := a.log.Log.Append(ctx, id, batch); err != nil {
				return true, err
			}
			a.log.setAway(true) // kept, and the answer is lost
			<-ctx.Done()
			return true, eventlog.ErrUnknown
		})
		a.do(id, ada, room.Mute{User: "bob"})
		time.Sleep(m.delay + time.Millisecond)
		synctest.Wait()
		a.log.onAppend(nil)
		a.log.setAway(false)
		if !b.outage.pending(id) {
			t.Fatal("no fact was told: the test shows nothing")
		}
		b.do(id, bob, room.Unmute{User: "bob"})
		time.Sleep(time.Minute)
		if s := w.now(); s.Muted("bob") {
			t.Errorf("bob is muted again: %+v", m.entries(id))
		}
		if b.outage.pending(id) || c.outage.pending(id) {
			t.Error("the fact is still open")
		}
	})
}

// The node that decided dies before the log is back. If it comes back it appends what it has acknowledged; if it does not,
// those who heard of it do.
func TestDecisionsOutliveTheirNode(t *testing.T) {
	for _, comesBack := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m := newMesh(t)
			a, b, c := m.three()
			id := stage(a.node)
			if !comesBack {
				c.watch(id)
			}
			b.get(id)
			away(a, b, c)
			if comesBack { // nobody else has heard of it
				m.mu.Lock()
				m.cut["b"] = true
				m.mu.Unlock()
			}
			b.do(id, ada, room.Mute{User: "bob"})
			time.Sleep(time.Second)
			b.cancel()
			if comesBack {
				must(t, os.WriteFile(filepath.Join(b.dir, "77.fact.half"), []byte("{"), 0o600)) // as a crash leaves it
				m.start("b", b.dir)
			}
			back(a, c)
			time.Sleep(otherWait)
			events := m.entries(id)
			if last := events[len(events)-1]; last.Type != room.EventMuted || last.User != "bob" {
				t.Errorf("node back %v: the log ends with %+v, want the mute", comesBack, last)
			}
			if comesBack {
				if files, _ := os.ReadDir(b.dir); len(files) != 0 {
					t.Errorf("%d files are left", len(files))
				}
			}
		})
	}
}

// The log goes away without a word: the first decision waits its patience and no longer.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		w := c.watch(id)
		for _, n := range []*meshNode{a, b, c} {
			n.log.setAway(true)
		}
		if d := took(func() { a.do(id, ada, room.Mute{User: "bob"}) }); d > patience+10*time.Millisecond {
			t.Errorf("the first took %v, want %v", d, patience)
		}
		if d := took(func() { a.do(id, ada, room.Mute{User: "cyd"}) }); d > 10*time.Millisecond {
			t.Errorf("the second took %v", d)
		}
		time.Sleep(m.delay)
		synctest.Wait()
		if s := w.now(); !s.Muted("bob") || !s.Muted("cyd") {
			t.Error("not enforced elsewhere")
		}
		back(a, b, c)
	})
}

// An hour without the log: many decisions, refused grants, people who look. Nothing hangs and nothing grows, and the
// log has everything afterwards.
func TestAnHourAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, b, c := m.three()
		id := stage(a.node)
		ws := []*watching{a.watch(id), b.watch(id), c.watch(id)}
		away(a, b, c)
		nodes := []*meshNode{a, b, c}
		banned := map[rotunda.UserID]bool{}
		var goroutines int
		for minute := range 60 {
			for i := range 1 + minute%2 {
				u := rotunda.UserID(fmt.Sprintf("troll-%d-%d", minute, i))
				banned[u] = true
				n := nodes[(minute+i)%3]
				if d := took(func() { n.do(id, ada, room.Remove{User: u, Ban: true}) }); d > 10*time.Millisecond {
					t.Errorf("minute %d: a ban took %v", minute, d)
				}
			}
			if d := took(func() { nodes[minute%3].refused(id, bob, room.Request{}, ErrUnavailable) }); d > 2*commandMax {
				t.Errorf("minute %d: a refusal took %v", minute, d)
			}
			time.Sleep(55*time.Second + 100*time.Millisecond) // what is sent again has arrived
			synctest.Wait()
			if minute == 5 {
				goroutines = runtime.NumGoroutine()
			}
			time.Sleep(150 * time.Millisecond)
		}
		n := 0
		for range 20 { // one that runs a finalizer or is about to end is none that stays
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if n = runtime.NumGoroutine(); n <= goroutines {
				break
			}
		}
		if n > goroutines {
			t.Errorf("%d goroutines after an hour, %d after five minutes", n, goroutines)
		}
		for u := range banned {
			for i, w := range ws {
				if !w.now().Banned(u) {
					t.Fatalf("node %d does not know that %s is banned", i, u)
				}
			}
		}
		back(a, b, c)
		time.Sleep(10 * time.Second)
		inLog := map[rotunda.UserID]int{}
		for _, e := range m.entries(id) {
			if e.Type == room.EventRemoved {
				inLog[e.User]++
			}
		}
		for u := range banned {
			if inLog[u] != 1 {
				t.Errorf("%s is banned %d times in the log, want once", u, inLog[u])
			}
		}
		for _, n := range nodes {
			if n.outage.pending(id) {
				t.Errorf("%s: facts are still open", n.cfg.Node)
			}
		}
	})
}

// What no node has sealed, or says what it must not, counts for nothing.
func TestFactsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, _, _ := m.three()
		id := stage(a.node)
		away(a)
		good := Fact{ID: "x", Room: id, Node: "b", Events: []room.Event{{ID: "x-0", At: time.Now(), Type: room.EventMuted, User: "bob", Fact: true}}}
		seal := m.outage("b", "").Seal
		encoded := func(change func(*Fact)) []byte {
			f := good
			f.Events = append([]room.Event(nil), good.Events...)
			change(&f)
			b, err := f.encode(1, openly)
			must(t, err)
			b, err = seal(b)
			must(t, err)
			return b
		}
		for name, b := range map[string][]byte{
			"nothing":             nil,
			"forged":              append(encoded(func(*Fact) {}), ' '),
			"another node's":      encoded(func(f *Fact) { f.Node = "c" }),
			"no events":           encoded(func(f *Fact) { f.Events = nil }),
			"not a fact":          encoded(func(f *Fact) { f.Events[0].Fact = false }),
			"an id of its own":    encoded(func(f *Fact) { f.Events[0].ID = "y" }),
			"without a time":      encoded(func(f *Fact) { f.Events[0].At = time.Time{} }),
			"no room":             encoded(func(f *Fact) { f.Room = "" }),
			"more than a command": encoded(func(f *Fact) { f.Events = make([]room.Event, factEventsMax+1) }),
		} {
			if err := a.Heard(b); err == nil {
				t.Errorf("%s: believed", name)
			}
		}
		if a.outage.pending(id) || a.get(id).Muted("bob") {
			t.Error("bob is muted by nobody")
		}
		// An event that gives is sealed by a node: it changes nothing all the same.
		if err := a.Heard(encoded(func(f *Fact) {
			f.ID, f.Events[0].ID, f.Events[0].Type, f.Events[0].User = "z", "z-0", room.EventApproved, "eve"
		})); err != nil {
			t.Error(err)
		}
		if s := a.get(id); s.Role("eve").OnStage() {
			t.Error("a fact has put somebody on stage")
		}
		must(t, a.Heard(encoded(func(*Fact) {})))
		if !a.get(id).Muted("bob") {
			t.Error("a good fact counts for nothing")
		}
		back(a)
	})
}

// The folder cannot be written: the decision acts, and who made it is told that it may be lost.
func TestOutboxFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, _, _ := m.three()
		id := stage(a.node)
		away(a)
		must(t, os.RemoveAll(a.dir))
		a.refused(id, ada, room.Mute{User: "bob"}, ErrUnknownOutcome)
		if !a.get(id).Muted("bob") {
			t.Error("bob is not muted")
		}
		back(a)
		if e := m.entries(id); e[len(e)-1].Type != room.EventMuted {
			t.Errorf("the log ends with %+v", e[len(e)-1])
		}
	})
}

// There are bounds to what waits for the log: past them a decision is refused, and says so, and what others say is left out.
func TestFactsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		a, _, _ := m.three()
		id := stage(a.node)
		away(a)
		fact := func(r rotunda.RoomID, i int) Fact {
			name := fmt.Sprint("f", i)
			return Fact{ID: name, Room: r, Node: "b", Events: []room.Event{{ID: name + "-0", At: time.Now(), Type: room.EventRemoved, User: rotunda.UserID(fmt.Sprint("troll-", i)), Ban: true, Fact: true}}}
		}
		taken := 0
		for i := range factsRoomMax + 100 {
			if a.outage.add(fact(id, i), false) {
				taken++
			}
		}
		if taken != factsRoomMax {
			t.Errorf("%d facts of one room are taken, want %d", taken, factsRoomMax)
		}
		for i := range factsMax + 100 {
			if a.outage.add(fact(rotunda.RoomID(fmt.Sprint("r", i)), 10_000+i), false) {
				taken++
			}
		}
		if taken != factsMax {
			t.Errorf("%d facts of others are taken, want %d", taken, factsMax)
		}
		a.refused(id, ada, room.Mute{User: "bob"}, ErrUnavailable)
		if s := a.get(id); s.Muted("bob") || !s.Banned("troll-0") || !s.Banned(rotunda.UserID(fmt.Sprint("troll-", factsRoomMax-1))) {
			t.Error("what was refused is in effect, or what was taken is not")
		}
	})
}

func FuzzFact(f *testing.F) {
	good := Fact{ID: "x", Room: "r", Node: "b", Events: []room.Event{{ID: "x-0", At: time.Unix(1, 0), Type: room.EventMuted, User: "bob", Fact: true}}}
	b, err := good.encode(7, openly)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fact, err := parseFact(b, openly)
		if err != nil {
			if !errors.Is(err, errFact) {
				t.Fatalf("error %v is of no kind", err)
			}
			return
		}
		again, err := fact.encode(1, openly)
		if err != nil {
			return // JSON may grow past the bound when it is written with escapes
		}
		if _, err := parseFact(again, openly); err != nil {
			t.Fatalf("%s parses, and not when it is written again: %v", b, err)
		}
		s := room.New(fact.Room)
		s.Overlay(fact.Events) // never panics, whatever the events say
	})
}
