package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCommands(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		synctest.Wait()
		id := n.create("Talk")
		if len(id) != 12 || strings.Trim(string(id), alphabet) != "" {
			t.Errorf("room id %q", id)
		}
		if s := n.get(id); s.Seq != 1 || s.Home != "n1" || s.Host != "ada" {
			t.Errorf("created: %+v", s)
		}
		n.do(id, bob, room.Request{})
		n.refused(id, bob, room.Approve{User: "bob"}, room.ErrForbidden)
		s := n.do(id, ada, room.Approve{User: "bob"})
		if s.Role("bob") != rotunda.Speaker || !s.Muted("bob") || s.Seq != 3 {
			t.Errorf("after approve: %+v", s)
		}
		if again := n.do(id, ada, room.Approve{User: "bob"}); again.Seq != 3 {
			t.Errorf("approving again led to %d", again.Seq)
		}
		n.refused("nosuchroom00", bob, room.Request{}, ErrUnknownRoom)
		n.refused("no/room", bob, room.Request{}, ErrUnknownRoom)
		n.refused(id, bob, room.Create{Title: "x", Node: "n1"}, room.ErrInvalid)
		if _, _, err := n.Create(t.Context(), bob, room.Create{}); !errors.Is(err, room.ErrInvalid) {
			t.Errorf("create without a title: %v", err)
		}
		n.series(`rotunda_command_seconds_count{command="approve",result="ok"} 2`)
		n.series(`rotunda_command_seconds_count{command="approve",result="refused"} 1`)
		n.series(`rotunda_command_seconds_count{command="request",result="refused"} 2`)
		n.series(`rotunda_log_available 1`)
	})
}

// Events carry unique ids, and the log's number is their sequence number.
func TestWhatIsInTheLog(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.create("Talk")
		n.do(id, ada, room.Publish{Node: "n2"}) // two events: published and homed
		entries, _, err := log.Read(t.Context(), id, eventlog.Position{}, 10)
		if err != nil || len(entries) != 3 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		seen := map[string]bool{}
		for i, entry := range entries {
			var e room.Event
			if err := json.Unmarshal(entry.Data, &e); err != nil {
				t.Fatal(err)
			}
			if e.Seq != uint64(i+1) || e.ID != entry.ID || seen[e.ID] || len(e.ID) < 20 {
				t.Errorf("entry %d: %+v", entry.Seq, e)
			}
			seen[e.ID] = true
		}
	})
}

func TestDirectory(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		one, two := start(t, log, "n1"), start(t, log, "n2")
		synctest.Wait()
		for len(two.RoomsChanged()) > 0 {
			<-two.RoomsChanged()
		}
		id := one.create("Talk")
		if rooms := one.Rooms(); len(rooms) != 1 || rooms[0].ID != id {
			t.Errorf("own room is not in the directory at once: %+v", rooms)
		}
		synctest.Wait()
		if len(two.RoomsChanged()) != 1 {
			t.Error("no token for a new room")
		}
		if rooms := two.Rooms(); len(rooms) != 1 || rooms[0].ID != id || rooms[0].Title != "Talk" || rooms[0].State != room.Live || rooms[0].HostName != "Ada" {
			t.Errorf("directory of the other node: %+v", rooms)
		}
		two.series(`rotunda_rooms{state="live"} 1`)
		one.do(id, ada, room.End{})
		synctest.Wait()
		if rooms := two.Rooms(); rooms[0].State != room.Ended {
			t.Errorf("directory of the other node: %+v", rooms)
		}
		two.series(`rotunda_rooms{state="live"} 0`)
		two.series(`rotunda_rooms{state="ended"} 1`)
		late := start(t, log, "n3")
		synctest.Wait()
		if rooms := late.Rooms(); len(rooms) != 1 || rooms[0].State != room.Ended {
			t.Errorf("directory of a node that came later: %+v", rooms)
		}
	})
}

// Places on stage and the queue's order hold when many decide at once on two nodes.
func TestTwoNodesDecideAtOnce(t *testing.T) {
	log := new(eventlog.Memory)
	nodes := []*node{start(t, log, "n1"), start(t, log, "n2")}
	id := nodes[0].create("Talk")
	places := 5
	nodes[0].do(id, ada, room.Edit{Policy: room.PolicyEdit{SpeakersMax: &places}})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			who := room.Actor{User: rotunda.UserID(fmt.Sprintf("user%d", i))}
			if _, err := nodes[i%2].Do(t.Context(), id, who, room.Request{}); err != nil {
				t.Error(err)
			}
			_, err := nodes[(i+1)%2].Do(t.Context(), id, ada, room.Approve{User: who.User})
			if err != nil && !errors.Is(err, room.ErrFull) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// An approval sees everything that was acknowledged before, wherever: so the places are all taken, and no more.
	for _, n := range nodes {
		s, err := n.Do(t.Context(), id, ada, room.Start{}) // nothing to do, but the newest state
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Stage()) != places || len(s.Queue()) != 12-(places-1) {
			t.Errorf("%d on stage, %d waiting; want %d and %d", len(s.Stage()), len(s.Queue()), places, 12-(places-1))
		}
		if err := s.CheckInvariants(); err != nil {
			t.Error(err)
		}
	}
}

// A node that has not heard of a decision yet does not refuse what the decision allows.
func TestRefusalsAreNotStale(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		slow := &faulty{Log: log}
		one, two := start(t, log, "n1"), start(t, slow, "n2")
		id := one.create("Talk")
		two.get(id) // follows from now on
		synctest.Wait()
		slow.setAway(true) // its follower hears nothing more
		one.do(id, bob, room.Request{})
		one.do(id, ada, room.Approve{User: "bob"})
		synctest.Wait()
		if two.get(id).Role("bob") != rotunda.Listener {
			t.Fatal("the slow node is not slow")
		}
		done := make(chan error, 1)
		go func() {
			_, err := two.Do(t.Context(), id, bob, room.Publish{Node: "n2"})
			done <- err
		}()
		synctest.Wait() // it has to look before it refuses
		slow.setAway(false)
		if err := <-done; err != nil {
			t.Errorf("publish: %v", err)
		}
	})
}

// Newest is not behind the log; where it cannot be asked there is no answer.
func TestNewest(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		slow := &faulty{Log: log}
		one, two := start(t, log, "n1"), start(t, slow, "n2")
		id := one.create("Talk")
		two.get(id) // follows from now on
		synctest.Wait()
		slow.setAway(true)
		one.do(id, bob, room.Request{})
		one.do(id, ada, room.Approve{User: "bob"})
		if two.get(id).CanSpeak("bob") {
			t.Fatal("the slow node is not slow")
		}
		if s, err := two.Newest(t.Context(), id); !errors.Is(err, ErrUnavailable) {
			t.Errorf("without the log: %v, %v", s, err)
		}
		slow.setAway(false)
		if s, err := two.Newest(t.Context(), id); err != nil || !s.CanSpeak("bob") {
			t.Errorf("with it: %v, %v", s, err)
		}
		if _, err := two.Newest(t.Context(), "nosuchroom00"); !errors.Is(err, ErrUnknownRoom) {
			t.Errorf("of no room: %v", err)
		}
	})
}

func TestUnknownOutcome(t *testing.T) {
	unknown := fmt.Errorf("no answer: %w", eventlog.ErrUnknown)
	for name, keep := range map[string]bool{"not kept": false, "kept": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, log *faulty) {
				n := start(t, log, "n1")
				id := n.create("Talk")
				lost := 0
				log.onAppend(func(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (bool, error) {
					if lost++; lost > 1 {
						return false, nil
					}
					if keep {
						if _, err := log.Log.Append(ctx, id, b); err != nil {
							t.Error(err)
						}
					}
					return true, unknown
				})
				if s := n.do(id, ada, room.Publish{Node: "n1"}); s.Seq != 2 || s.MicEpoch("ada") != 1 {
					t.Errorf("published once: seq %d, want 2; epoch %d, want 1", s.Seq, s.MicEpoch("ada"))
				}
				n.do(id, bob, room.Request{})
				if s := n.do(id, ada, room.Approve{User: "bob"}); s.Seq != 4 || s.Role("bob") != rotunda.Speaker {
					t.Errorf("approved: seq %d, want 4", s.Seq)
				}
			})
		})
	}
	t.Run("never known", func(t *testing.T) {
		bubble(t, func(t *testing.T, log *faulty) {
			n := start(t, log, "n1")
			id := n.create("Talk")
			log.onAppend(func(context.Context, rotunda.RoomID, eventlog.Batch) (bool, error) { return true, unknown })
			if d := took(func() { n.refused(id, bob, room.Request{}, ErrUnknownOutcome) }); d > commandMax {
				t.Errorf("took %v", d)
			}
			if _, _, err := n.Create(t.Context(), ada, room.Create{Title: "x"}); !errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("create: %v", err)
			}
			n.series(`rotunda_command_seconds_count{command="request",result="failed"} 1`)
		})
	})
	t.Run("another was faster", func(t *testing.T) { // ours was lost, and somebody else's took its place
		bubble(t, func(t *testing.T, log *faulty) {
			one, two := start(t, log, "n1"), start(t, &faulty{Log: log.Log}, "n2")
			id := one.create("Talk")
			lost := 0
			log.onAppend(func(context.Context, rotunda.RoomID, eventlog.Batch) (bool, error) {
				if lost++; lost > 1 {
					return false, nil
				}
				two.do(id, cyd, room.Request{})
				return true, unknown
			})
			s := one.do(id, bob, room.Request{})
			if q := s.Queue(); len(q) != 2 || q[0].User != "cyd" || q[1].User != "bob" {
				t.Errorf("queue: %+v", q)
			}
		})
	})
}

// Somebody who is always faster makes a command fail in the end, not go on for ever.
func TestContention(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.create("Talk")
		log.onAppend(func(context.Context, rotunda.RoomID, eventlog.Batch) (bool, error) { return true, eventlog.ErrConflict })
		n.refused(id, bob, room.Request{}, ErrUnavailable)
		n.series(`rotunda_command_seconds_count{command="request",result="conflict"} 1`)
		if _, _, err := n.Create(t.Context(), ada, room.Create{Title: "x"}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("create: %v", err)
		}
	})
}

func TestLogAway(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		here, elsewhere := start(t, log, "n1"), start(t, &faulty{Log: log.Log}, "n2")
		id, cold := here.create("Talk"), elsewhere.create("Cold")
		here.get(id)
		synctest.Wait()
		var followed []uint64
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- here.Follow(ctx, id, 0, func(c Change) error { followed = append(followed, c.State.Seq); return nil })
		}()
		synctest.Wait()

		log.setAway(true)
		if d := took(func() { here.refused(id, bob, room.Request{}, ErrUnavailable) }); d > commandMax {
			t.Errorf("a command waited for %v", d)
		}
		if d := took(func() { here.refused(cold, bob, room.Request{}, ErrUnavailable) }); d > commandMax {
			t.Errorf("a command to a room not followed waited for %v", d)
		}
		if s := here.get(id); s.Seq != 1 {
			t.Errorf("the last state is gone: %+v", s)
		}
		if _, err := here.Get(t.Context(), cold); !errors.Is(err, ErrUnavailable) {
			t.Errorf("get of a room not followed: %v", err)
		}
		elsewhere.do(id, bob, room.Request{})
		time.Sleep(4 * time.Minute) // before anything is due in the room
		here.series("rotunda_log_available 0")
		here.series(`rotunda_command_seconds_count{command="request",result="unavailable"} 2`)
		if s := here.get(id); s.Seq != 1 {
			t.Errorf("after a while: seq %d", s.Seq)
		}

		log.setAway(false)
		time.Sleep(2 * probeEvery)
		here.series("rotunda_log_available 1")
		if s := here.get(id); s.Seq != 2 {
			t.Errorf("did not catch up: seq %d, want 2", s.Seq)
		}
		here.do(id, cyd, room.Request{})
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if fmt.Sprint(followed) != "[1 2 3]" {
			t.Errorf("followed %v, want [1 2 3]", followed)
		}
	})
}

// A log that forgets what this node has seen is not believed, and says so; the last state stands.
func TestLogGoesBack(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.create("Talk")
		n.do(id, bob, room.Request{})
		synctest.Wait()
		n.get(id)
		// The same room begins anew in an empty store.
		fresh := &faulty{Log: new(eventlog.Memory)}
		b := eventlog.Batch{Records: []eventlog.Record{{ID: "other", Data: []byte(`{"type":"created"}`)}}}
		if _, err := fresh.Append(t.Context(), id, b); err != nil {
			t.Fatal(err)
		}
		n.cfg.Log = fresh // nobody reads it now: all goroutines are blocked in the old one
		n.refused(id, cyd, room.Request{}, eventlog.ErrBroken)
		n.refused(id, cyd, room.Request{}, ErrUnavailable)
		n.refused(id, cyd, room.Approve{User: "bob"}, ErrUnavailable) // refused by the state, which cannot be confirmed
		if s := n.get(id); s.Seq != 2 {
			t.Errorf("state went to %d", s.Seq)
		}
	})
}

// A node meets events of a newer version: they are counted, and it goes on.
func TestNewerEvents(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		n := start(t, log, "n1")
		id := n.create("Talk")
		_, end, err := log.Read(t.Context(), id, eventlog.Position{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, data := range []string{`{"type":"pinned","url":"https://example.org"}`, `{"type":7}`, `not json at all`} {
			if end, err = log.Append(t.Context(), id, eventlog.Batch{After: end, Records: []eventlog.Record{{ID: data[:5], Data: []byte(data)}}}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s := n.do(id, bob, room.Request{}); s.Seq != 5 || len(s.Queue()) != 1 {
			t.Errorf("after three unknown events and a request: %+v", s)
		}
	})
}

// The same source of randomness makes the same ids.
func TestIDsComeFromRand(t *testing.T) {
	r := &randomness{source: strings.NewReader("\x00\x1f\x20\xff0123456789")}
	if got, err := r.letters(4); got != "0z0z" || err != nil {
		t.Errorf("letters = %q, %v", got, err)
	}
	if _, err := r.letters(100); err == nil {
		t.Error("a source that has run dry makes ids")
	}
}
