package trace

import (
	"time"

	"rotunda"
)

// Room is the whole of a room at one moment, as far as the nodes that have a part in it have said.
type Room struct {
	Room     rotunda.RoomID `json:"room"`
	Title    string         `json:"title"`
	State    string         `json:"state"`
	At       time.Time      `json:"at"`
	Home     rotunda.NodeID `json:"home"`
	Epoch    rotunda.Epoch  `json:"epoch"` // of the program
	Standby  rotunda.NodeID `json:"standby,omitempty"`
	Stage    []Voice        `json:"stage"`
	Nodes    []Part         `json:"nodes"`
	Complete bool           `json:"complete"` // every node that has a part has answered in time
}

// Voice is somebody on stage.
type Voice struct {
	User  rotunda.UserID `json:"user"`
	Name  string         `json:"name"`
	Role  rotunda.Role   `json:"role"`
	Muted bool           `json:"muted"`
	Live  bool           `json:"live"` // has a microphone session
	Node  rotunda.NodeID `json:"node,omitempty"`
	Epoch rotunda.Epoch  `json:"epoch"`
}

// Program is the program that the listeners of a node hear: the one of the highest epoch of which a frame has come, or that
// begins there. A standby has one of its own, in which nothing is said.
func (r Room) Program(p Part) (s Stream, ok bool) {
	for _, x := range p.Streams {
		if x.Track != rotunda.Program || len(x.Ways) > 0 && !x.heard() || len(x.Ways) == 0 && p.Node != r.Home {
			continue
		}
		if !ok || x.Epoch > s.Epoch {
			s, ok = x, true
		}
	}
	return s, ok
}

func (s Stream) heard() bool {
	for _, w := range s.Ways {
		if w.Heard {
			return true
		}
	}
	return false
}

// Lost is the share of frames that came by none of the ways, at most: that of the best one.
func (s Stream) Lost() float64 {
	lost, any := 1.0, false
	for _, w := range s.Ways {
		if w.Frames > 0 {
			lost, any = min(lost, w.Lost), true
		}
	}
	if !any {
		return 0
	}
	return lost
}

// Voices is where the microphone of a speaker is carried, by node.
func (r Room) Voices(user rotunda.UserID) map[rotunda.NodeID]Stream {
	all := map[rotunda.NodeID]Stream{}
	for _, p := range r.Nodes {
		for _, s := range p.Streams {
			if s.Track == rotunda.Mic(user) && s.Epoch >= all[p.Node].Epoch {
				all[p.Node] = s
			}
		}
	}
	return all
}
