package cascade

import (
	"time"

	"rotunda"
	"rotunda/cascade/relay"
)

// Carried is one stream that passes this node, or begins here.
type Carried struct {
	Stream rotunda.StreamID
	Origin rotunda.NodeID
	Local  bool          // somebody on this node takes it
	Outs   int           // other nodes that take it from here
	Age    time.Duration // of its frames when they arrive here, by the clocks of both nodes; 0: this node is the origin, or none came
	Oldest time.Duration // the same of the latest ones
	Ways   []Way
}

// Way is one of the ways that a stream comes by.
type Way struct {
	Path   []rotunda.NodeID // from the next hop to the origin
	RTT    time.Duration    // of the link to the next hop; 0: there is none
	Heard  bool             // a frame has come by it
	Lost   float64          // share of the last minute's frames that did not come by it
	Frames uint64           // over so many
	First  float64          // share of them that came by it first
}

// Trace lists the streams of a room that pass this node, sorted.
func (m *Mesh) Trace(room rotunda.RoomID) []Carried {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Carried
	for _, v := range m.core.Views(room) {
		c := Carried{
			Stream: v.Key.Stream, Origin: v.Key.Origin, Local: v.Local, Outs: v.Outs, Age: micros(v.Age), Oldest: micros(v.Oldest),
		}
		for _, w := range v.Ways {
			c.Ways = append(c.Ways, m.way(w))
		}
		all = append(all, c)
	}
	return all
}

func (m *Mesh) way(w relay.Way) Way {
	out := Way{Path: w.Path, Heard: w.Heard, Lost: w.Lost, Frames: w.Frames, First: w.First}
	if l := m.ports[w.Port]; l != nil {
		out.RTT = l.RTT()
	}
	return out
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
