package relay

import (
	"slices"

	"rotunda"
)

// View is what a node can say of one stream, for people who look for where it suffers.
type View struct {
	Key    Key
	Local  bool  // somebody on this node takes it
	Outs   int   // other nodes that take it from here
	Age    int64 // of its frames when they arrived here, a mean over the last of them, in microseconds; 0: this node is the origin
	Oldest int64 // the same of the latest of them, forgotten slowly
	Ways   []Way
}

// Way is one pull of a stream.
type Way struct {
	Path   []rotunda.NodeID // from the next hop to the origin
	Port   Port             // 0: waits for its link
	Heard  bool             // a frame has come by it
	Lost   float64          // share of the frames of the last minute or so that did not come by it, the link's repairs done
	Frames uint64           // over so many
	First  float64          // share of them that came by it before any other way
}

// Views lists the streams of a room that pass this node, sorted.
func (c *Core) Views(room rotunda.RoomID) []View {
	var all []View
	for k, s := range c.streams {
		if k.Stream.Room != room {
			continue
		}
		v := View{Key: k, Local: s.local, Outs: len(s.outs), Age: s.age, Oldest: s.oldest}
		for _, u := range s.ups {
			v.Ways = append(v.Ways, u.view())
			if u.old != nil && !u.proven {
				v.Ways = append(v.Ways, u.old.view())
			}
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b View) int { return compare(a.Key, b.Key) })
	return all
}

func (u *upstream) view() Way {
	w := Way{Path: slices.Clone(u.path), Port: u.in.Port, Heard: u.heard, Frames: u.tally.span}
	if n := float64(u.tally.span); n > 0 {
		w.Lost = max(0, 1-float64(u.tally.came)/n)
		w.First = min(1, float64(u.tally.first)/n)
	}
	return w
}

// Aged notes the age of a frame of the stream that has just arrived, in microseconds by this node's clock.
func (s *Stream) Aged(age int64) {
	if s.age == 0 {
		s.age, s.oldest = age, age
		return
	}
	s.age += (age - s.age) / ageMean
	if age > s.oldest {
		s.oldest = age
	} else {
		s.oldest -= (s.oldest - age) / oldestMean
	}
}

const (
	// ageMean and oldestMean are over how many frames ages are told: a third of a second, and some ten seconds.
	ageMean    = 16
	oldestMean = 512
	// tallyMax is after how many frames a tally counts what it has by half: a minute.
	tallyMax = 3000
)

// tally counts what came by one way. The zero value is ready.
type tally struct {
	started bool
	newest  rotunda.Seq
	seen    uint64 // bit i: the frame i before the newest came
	span    uint64 // frames that there were
	came    uint64 // that came
	first   uint64 // of these, that were new here
}

// frame counts one that came; a repeated copy counts once.
func (t *tally) frame(seq rotunda.Seq, isNew bool) {
	switch {
	case !t.started || seq > t.newest+jumpMax || seq+jumpMax < t.newest: // or numbers begin anew
		*t = tally{started: true, newest: seq, seen: 1, span: t.span + 1, came: t.came + 1, first: t.first}
	case seq > t.newest:
		t.span += uint64(seq - t.newest)
		t.seen, t.newest = t.seen<<(seq-t.newest)|1, seq
		t.came++
	case t.newest-seq < 64 && t.seen>>(t.newest-seq)&1 == 0 && uint64(t.newest-seq) < t.span:
		t.seen |= 1 << (t.newest - seq)
		t.came++
	default:
		return
	}
	if isNew {
		t.first++
	}
	if t.span >= tallyMax {
		t.span, t.came, t.first = t.span/2, t.came/2, t.first/2
	}
}
