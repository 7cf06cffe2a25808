package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
	"rotunda/control/room"
)

// A log that has lost its end, however much of it, all of it even, gets it back from whoever saw it; one that goes on
// differently from wherever it was cut off does not, and nobody serves it. What people see is the same all the time.
func TestMending(t *testing.T) {
	const events = 22 // 21 decisions: the room begins with one, and each is one
	for kept := range events {
		for _, forked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d of %d, forked %v", kept, events, forked), func(t *testing.T) {
				bubble(t, func(t *testing.T, log *faulty) { damagedAndMended(t, log, uint64(kept), events, forked) })
			})
		}
	}
}

func damagedAndMended(t *testing.T, log *faulty, kept, events uint64, forked bool) {
	swapped := &swap{Log: log}
	n, m := start(t, swapped, "n1"), start(t, swapped, "n2")
	id := n.create("Talk")
	_, end1 := n.collect(id, 0)
	stop := sync.OnceFunc(end1)
	defer stop()
	_, stopM := m.collect(id, 0)
	defer stopM()
	for i := range events - 1 {
		n.do(id, room.Actor{User: rotunda.UserID(fmt.Sprint("user", i))}, room.Request{})
	}
	synctest.Wait()
	want, end := n.get(id), headOf(t, log, id)
	if end.Seq != events {
		t.Fatalf("%d events, want %d", end.Seq, events)
	}
	old := new(eventlog.Memory)
	copyChain(t, old, log, id, kept)
	if forked {
		if _, err := old.Append(t.Context(), id, eventlog.Batch{After: headOf(t, old, id), Records: []eventlog.Record{{ID: "x", Data: []byte("{}")}}}); err != nil {
			t.Fatal(err)
		}
	}
	swapped.to(&faulty{Log: old})
	for range 30 {
		time.Sleep(brokenWait / 10)
		wantSame(t, n.get(id), want)
		wantSame(t, m.get(id), want)
	}
	got := headOf(t, old, id)
	if forked {
		if got.Seq != kept+1 {
			t.Errorf("a log with another history was appended to, up to %v", got)
		}
		n.refused(id, cyd, room.Request{}, eventlog.ErrBroken)
		m.refused(id, cyd, room.Request{}, eventlog.ErrBroken)
		stop()
		n.stop()
		if said := n.said.String(); !strings.Contains(said, "room's log is broken") || !strings.Contains(said, string(id)) {
			t.Errorf("nothing is said of it:\n%s", said)
		}
		return
	}
	if got != end {
		t.Errorf("mended up to %v, want %v", got, end)
	}
	n.do(id, cyd, room.Request{})
	synctest.Wait()
	wantSame(t, m.get(id), n.get(id))
	wantSame(t, start(t, old, "n3").get(id), n.get(id))
}

// A log that was changed behind everybody's back, in whatever way and at whatever record, is mended by whoever follows the room.
// Until then nobody is told anything else, and who does not have the room yet is refused it.
func TestMendingChanges(t *testing.T) {
	const events = 9
	for _, change := range eventlogtest.Changes {
		for i := range events {
			if change.Two && i == events-1 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d of %d", change.Name, i+1, events), func(t *testing.T) {
				bubble(t, func(t *testing.T, log *faulty) {
					changedAndMended(t, log, events, func(s *eventlog.Stored) { change.Do(s, i) })
				})
			})
		}
	}
}

func changedAndMended(t *testing.T, log *faulty, events uint64, damage func(*eventlog.Stored)) {
	n, m := start(t, log, "n1"), start(t, log, "n2")
	id := n.asked(events)
	_, end1 := n.collect(id, 0)
	_, end2 := m.collect(id, 0)
	stop := sync.OnceFunc(func() { end1(); end2() })
	defer stop()
	synctest.Wait()
	want, end := n.get(id), headOf(t, log, id)
	log.Log.(*eventlog.Memory).Damage(id, damage)
	newcomer := start(t, log, "n3")
	if s, err := newcomer.Get(t.Context(), id); err == nil {
		wantSame(t, s, want) // who follows the end has met it at once
	} else if !errors.Is(err, eventlog.ErrBroken) {
		t.Errorf("who comes new: %v, want ErrBroken", err)
	}
	for range 30 {
		time.Sleep(auditEvery / 12)
		wantSame(t, n.get(id), want)
		wantSame(t, m.get(id), want)
	}
	if r, err := eventlog.Verify(t.Context(), log, id); err != nil || r.Err != nil || r.End != end {
		t.Fatalf("verify: %+v, %v, want %v", r, err, end)
	}
	wantSame(t, newcomer.get(id), want)
	n.do(id, cyd, room.Request{})
	synctest.Wait()
	wantSame(t, m.get(id), n.get(id))
	stop()
	n.stop()
	m.stop()
	if said := n.said.String() + m.said.String(); !strings.Contains(said, "mended from this node's copy") || !strings.Contains(said, string(id)) {
		t.Errorf("nothing is said of it:\n%s", said)
	}
}

// asked makes a room with n events.
func (n *node) asked(events uint64) roomID {
	n.t.Helper()
	id := n.create("Talk")
	for i := uint64(1); i < events; i++ {
		n.do(id, room.Actor{User: rotunda.UserID(fmt.Sprint("user", i))}, room.Request{})
	}
	return id
}

// Nobody has a copy: the room is refused, and by name.
func TestNobodyMends(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.asked(9)
		n.stop()
		log.Log.(*eventlog.Memory).Damage(id, func(s *eventlog.Stored) { eventlogtest.Changes[0].Do(s, 4) })
		m := start(t, log, "n2")
		for range 10 {
			time.Sleep(auditEvery / 4)
			if _, err := m.Get(t.Context(), id); !errors.Is(err, eventlog.ErrBroken) {
				t.Fatalf("%v, want ErrBroken", err)
			}
		}
		if _, err := m.Mend(t.Context(), id); !errors.Is(err, ErrUnknownRoom) {
			t.Errorf("mending without a copy: %v, want ErrUnknownRoom", err)
		}
		r, err := eventlog.Verify(t.Context(), log, id)
		if err != nil || r.Err == nil || !strings.Contains(r.Err.Error(), "entry 6 follows") {
			t.Errorf("verify: %+v, %v", r, err)
		}
		m.series("rotunda_log_damaged_total 10")
		m.stop()
		if said := m.said.String(); !strings.Contains(said, "room's log cannot be read") || !strings.Contains(said, string(id)) {
			t.Errorf("nothing is said of it:\n%s", said)
		}
	})
}

// A long room: what is folded, its snapshots and what is not folded, each damaged while somebody has a copy.
func TestMendingLongRoom(t *testing.T) {
	const events = 2*snapshotEvery + 50
	for name, damage := range map[string]func(*eventlog.Stored){
		"first entry left":  func(s *eventlog.Stored) { eventlogtest.Changes[0].Do(s, 0) },
		"one in the middle": func(s *eventlog.Stored) { eventlogtest.Changes[0].Do(s, 300) },
		"many":              func(s *eventlog.Stored) { s.Entries = slices.Delete(s.Entries, 10, 400) },
		"last segment":      func(s *eventlog.Stored) { s.Segments = s.Segments[:len(s.Segments)-1] },
		"base":              func(s *eventlog.Stored) { s.Base = eventlog.Mark{} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, log *faulty) {
				n := start(t, log, "n1")
				synctest.Wait()
				id := n.busy(events)
				_, stop := n.collect(id, 0)
				defer stop()
				synctest.Wait()
				want := n.get(id)
				log.Log.(*eventlog.Memory).Damage(id, damage)
				names, err := n.Mend(t.Context(), id)
				if err != nil || len(names) == 0 {
					t.Errorf("mending: %q, %v", names, err)
				}
				r, err := eventlog.Verify(t.Context(), log, id)
				if err != nil || r.Err != nil || r.End.Seq != want.Seq || r.Folded < snapshotEvery || r.Snapshots != 2 {
					t.Errorf("verify: %+v, %v", r, err)
				}
				if names, err := n.Mend(t.Context(), id); err != nil || len(names) > 0 {
					t.Errorf("mending what is whole: %q, %v", names, err)
				}
				wantSame(t, start(t, log, "n2").get(id), want)
				n.series("rotunda_log_mended_total 1")
				n.series("rotunda_log_damaged_total 0")
			})
		})
	}
}
