package room

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

// exercise does with a state what nodes do, whatever is in it.
func exercise(t *testing.T, s *State) {
	t.Helper()
	s.CheckInvariants()
	s.ViewFor("bob")
	s.Summary().Clone()
	s.Talk()
	s.Admitted("bob", time.Unix(0, 0))
	now := later(s.Deadline(), time.Unix(2_000_000_000, 0))
	d := dice(rand.New(rand.NewPCG(s.Seq, 4)).IntN)
	for range 20 {
		actor, cmd := d.command(s)
		s.Decide(now, actor, cmd)
		if facts, err := s.Restrict(now, actor, cmd); err == nil {
			for i := range facts {
				facts[i].ID = "fact"
			}
			s.Overlay(facts)
		}
	}
	if events, err := s.Decide(now, Actor{System: true}, Tick{}); err == nil {
		fold(s.Clone(), events)
	}
	b, err := s.Encode()
	if err != nil {
		return // a time past the year 9999: no Decide makes one, and a log that says so has no snapshots
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatalf("%s does not come back: %v", b, err)
	}
	again, err := back.Encode()
	if err != nil || string(again) != string(b) {
		t.Fatalf("%s came back as %s, %v", b, again, err)
	}
}

// Nothing panics, whatever a log may hold.
func FuzzApply(f *testing.F) {
	f.Add([]byte(`[{"seq":1,"type":"created","user":"ada","details":{"title":"T"}},{"seq":2,"type":"role","user":"bob","role":"host"}]`))
	f.Add([]byte(`[{"type":"muted_all","users":["x"]},{"type":"removed","user":"x"},{"type":"ended"},{"type":"published"}]`))
	f.Add([]byte(`[{"type":"pinned","pin":"a"},{"type":"pin_moved","pin":"a","place":-9},{"type":"unpinned","pin":"b"},{"type":"turn","user":"x"}]`))
	f.Add([]byte(`[{"type":"succeeded","user":"x","reason":"away"},{"type":"spoke","talk":{"x":-5}},{"type":"muted","fact":true,"id":"f"}]`))
	for seed := range uint64(8) { // whole histories
		b, err := json.Marshal(history(seed, 60))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var events []Event
		if json.Unmarshal(b, &events) != nil || len(events) > 2_000 {
			return
		}
		s := New("room")
		s.Adopt(events)
		for _, e := range events {
			s.Apply(e)
		}
		s.Adopt(events)
		exercise(t, s)
	})
}

// Nothing panics, whatever a snapshot may hold, and what is decoded encodes to what decodes to the same.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(8) {
		b, err := fold(New("room"), history(seed, 120)).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"id":"r","seq":3,"phase":"live","stage":{"ada":{"User":"bob","Role":"host"}},"pins":{"a":{"ID":"b","Approved":true}}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			if s != nil {
				t.Fatal("a state and an error")
			}
			return
		}
		exercise(t, s)
	})
}

// history is what happens in a room of one seed.
func history(seed uint64, commands int) (events []Event) {
	d := dice(rand.New(rand.NewPCG(seed, 5)).IntN)
	s, now := New("room"), time.Unix(1_700_000_000, 0)
	for range commands {
		now = now.Add(time.Duration(d(20)) * time.Second)
		actor, cmd := d.command(s)
		if decided, err := s.Decide(now, actor, cmd); err == nil {
			fold(s, decided)
			events = append(events, decided...)
		}
	}
	return events
}
