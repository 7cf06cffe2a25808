package duty

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"rotunda"
)

// Choice is what home chooses a standby from.
type Choice struct {
	Room    rotunda.RoomID
	Home    rotunda.NodeID
	Now     rotunda.NodeID   // who stands by; empty: nobody
	Members []rotunda.Member // home's view, in any order
	// Speak and Attend are where speakers of this room are, and where others of its stage are connected.
	Speak, Attend []rotunda.NodeID
}

// Choose returns the node that shall stand by, empty where there is nobody: in another region than home's where there is
// one, because regions fail too; of those where somebody speaks, who would not be cut off with home; then where somebody of the
// stage listens; and else by a hash of room and node, so that rooms spread over the nodes. Who stands by stays as long as
// they can, except that another region is worth a change.
func Choose(c Choice) rotunda.NodeID {
	var region rotunda.Region
	for _, m := range c.Members {
		if m.ID == c.Home {
			region = m.Region
		}
	}
	rank := func(m rotunda.Member) int {
		n := 0
		for i, better := range []bool{slices.Contains(c.Attend, m.ID), slices.Contains(c.Speak, m.ID), m.ID == c.Now, m.Region != region} {
			if better {
				n |= 1 << i
			}
		}
		return n
	}
	var best rotunda.Member
	for _, m := range c.Members {
		able := m.State == rotunda.Alive || m.State == rotunda.Suspect && m.ID == c.Now // who only may be dead is not replaced yet
		if m.ID == c.Home || !able {
			continue
		}
		if best.ID == "" || cmp.Or(cmp.Compare(rank(m), rank(best)), cmp.Compare(weight(c.Room, m.ID), weight(c.Room, best.ID)), cmp.Compare(m.ID, best.ID)) > 0 {
			best = m
		}
	}
	return best.ID
}

func weight(room rotunda.RoomID, node rotunda.NodeID) uint64 {
	h := fnv.New64a()
	h.Write([]byte(room))
	h.Write([]byte{0})
	h.Write([]byte(node))
	return h.Sum64()
}

const (
	// speechMax is how long the program may be late while somebody talks: then a frame comes every 20 ms.
	speechMax = 240 * time.Millisecond
	// silenceMax is the same in silence, when one comes every 400 ms.
	silenceMax = 400*time.Millisecond + speechMax
	// brokenMax is the same where the cascade says that no way to home works, which it knows by silence too: a home whose
	// process was not run for StallMax is none that died.
	brokenMax = StallMax + 60*time.Millisecond
	// unheardMax is how long home may take to be heard at all, by a standby that has just begun to listen.
	unheardMax = 3 * time.Second
	// lookMax is how much of the time between two looks counts against home: where this process looks late, it reads late
	// too. Looks are 25 ms apart; whoever gets one only every StallMax believes home dead after twice as long, half a second.
	lookMax = 50 * time.Millisecond
	// StallMax is a pause in a loop of this process after which it trusts its own clocks and queues no more.
	StallMax = 100 * time.Millisecond
)

// Watch says when a program that is listened to has stopped. It is for one goroutine at a time; call Begin first.
type Watch struct {
	last   time.Time // when the last frame came, or the watch began
	looked time.Time // last asked
	heard  bool      // any frame
	speech bool      // the last one held a voice
	broken bool      // no way works
}

// Begin forgets everything.
func (w *Watch) Begin(now time.Time) { *w = Watch{last: now, looked: now} }

// Frame says that a frame came. speech is whether it names a source.
func (w *Watch) Frame(now time.Time, speech bool) { w.last, w.heard, w.speech = now, true, speech }

// Path says whether there is a way on which frames can come.
func (w *Watch) Path(working bool) { w.broken = !working }

// Stopped reports whether the program has stopped. It is to be asked at least every lookMax: of a longer pause only so much
// counts against home, since this process was short of time itself and may not have read what came. Where it was not asked for
// StallMax, this process stood still, and waits anew.
func (w *Watch) Stopped(now time.Time) bool {
	switch pause := now.Sub(w.looked); {
	case pause > StallMax:
		w.last = now
	case pause > lookMax:
		w.last = w.last.Add(min(pause-lookMax, now.Sub(w.last)))
	}
	w.looked = now
	limit := silenceMax
	switch {
	case !w.heard:
		limit = unheardMax
	case w.broken:
		limit = brokenMax
	case w.speech:
		limit = speechMax
	}
	return now.Sub(w.last) > limit
}
