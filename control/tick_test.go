package control

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// count says how many events of a type the log of a room has.
func count(t *testing.T, log eventlog.Reader, id rotunda.RoomID, kind room.EventType) int {
	t.Helper()
	n := 0
	for at := (eventlog.Position{}); ; {
		entries, end, err := log.Read(t.Context(), id, at, eventlog.ReadMax)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if decode(e).Type == kind {
				n++
			}
			if at, err = at.Next(id, e); err != nil {
				t.Fatal(err)
			}
		}
		if at.Seq >= end.Seq {
			return n
		}
	}
}

// What is due in a room is done once, by the home or, where the home is dead, by one of the others.
func TestWhatIsDueIsDoneOnce(t *testing.T) {
	for _, home := range []string{"alive", "dead"} {
		t.Run(home, func(t *testing.T) {
			bubble(t, func(t *testing.T, log *faulty) {
				nodes := []*node{start(t, log, "n1"), start(t, log, "n2"), start(t, log, "n3")}
				creator := nodes[0]
				if home == "dead" {
					creator = &node{Control: New(Config{Log: log, Node: "n9"}), t: t} // never runs
				}
				id := creator.create("Talk")
				for _, n := range nodes {
					_, stop := n.collect(id, 0)
					defer stop()
				}
				synctest.Wait()
				due := nodes[1].get(id).Deadline()
				if due.IsZero() {
					t.Fatal("nothing is due in a room whose host never came")
				}
				time.Sleep(time.Until(due) + dueLate + dueSpread + dueAgain)
				synctest.Wait()
				if n := count(t, log, id, room.EventAbsent); n != 1 {
					t.Errorf("%d times absent, want once", n)
				}
				time.Sleep(time.Hour)
				if n, held, ended := count(t, log, id, room.EventAbsent), count(t, log, id, room.EventHeld), count(t, log, id, room.EventEnded); n != 1 || held != 1 || ended != 1 {
					t.Errorf("%d times absent, %d held, %d ended; want each once", n, held, ended)
				}
				if s := nodes[2].get(id); s.Phase != room.Ended {
					t.Errorf("a room that everybody has left is %s", s.Phase)
				}
			})
		})
	}
}

// A room that no living node follows is not forgotten.
func TestNobodyFollows(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		gone := &node{Control: New(Config{Log: log, Node: "n9"}), t: t} // never runs: dead before anybody joined
		var ids []rotunda.RoomID
		for i := range 2 * visitsMax {
			ids = append(ids, gone.create(fmt.Sprint("Room ", i)))
		}
		one := start(t, log, "n1")
		time.Sleep(30 * time.Minute)
		for _, id := range ids {
			if s := one.get(id); s.Phase != room.Ended {
				t.Errorf("room %s is %s", id, s.Phase)
			}
		}
	})
}
