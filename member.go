package rotunda

import (
	"math"
	"time"
)

// Member is what one node knows of another (or of itself) from gossip: a hint, never a proof.
type Member struct {
	ID         NodeID      `json:"id"`
	Region     Region      `json:"region"`
	State      MemberState `json:"state"`
	Addresses  Addresses   `json:"addresses"`
	Load       Load        `json:"load"`
	Coordinate Coordinate  `json:"coordinate"`
	Version    string      `json:"version"`
}

// Addresses are where a node is reached.
type Addresses struct {
	HTTP    string `json:"http"`    // base URL of the web client and API, for example "https://fra1.example.org"
	Cascade string `json:"cascade"` // host:port, UDP
	Gossip  string `json:"gossip"`  // host:port, UDP and TCP
}

// Load is how busy a node says it is.
type Load struct {
	Listeners uint32  `json:"listeners"` // media sessions that take audio
	Speakers  uint32  `json:"speakers"`  // media sessions that give audio
	CPU       float32 `json:"cpu"`       // share of the node's cores in use, 0 to 1
}

// Coordinate is a node's place in network space (Vivaldi, as HashiCorp's serf keeps it); the distance of two is an
// estimate of their round trip.
type Coordinate struct {
	Vec        [8]float64 `json:"vec"`
	Error      float64    `json:"error"` // 0 sure, 1.5 knows nothing
	Adjustment float64    `json:"adjustment"`
	Height     float64    `json:"height"`
}

// DistanceMax is the longest distance, and that of places of which nothing is known.
const DistanceMax = 10 * time.Second

// Distance estimates the round trip between two places. Coordinates come from other nodes: what is not a number counts as
// DistanceMax.
func (c Coordinate) Distance(d Coordinate) time.Duration {
	var sum float64
	for i := range c.Vec {
		x := c.Vec[i] - d.Vec[i]
		sum += x * x
	}
	seconds := math.Sqrt(sum) + c.Height + d.Height
	if adjusted := seconds + c.Adjustment + d.Adjustment; adjusted > 0 {
		seconds = adjusted
	}
	if !(seconds >= 0 && seconds < DistanceMax.Seconds()) {
		return DistanceMax
	}
	return time.Duration(seconds * float64(time.Second))
}

// MemberState is the life of a member as this node sees it.
type MemberState string

// The states of a member. They are the values of the label state of rotunda_members.
const (
	Alive    MemberState = "alive"
	Draining MemberState = "draining" // alive, and takes no new sessions
	Suspect  MemberState = "suspect"  // does not answer; not yet given up
	Left     MemberState = "left"     // said goodbye
	Dead     MemberState = "dead"     // given up
)

// Up reports whether the member may be asked to carry audio.
func (s MemberState) Up() bool { return s == Alive || s == Draining || s == Suspect }

// Role is what a person is in a room. The order is one of power: a higher role may do all that a lower one may.
type Role string

// The roles. The zero value is "no role named", which is not the same as Listener.
const (
	NoRole   Role = ""
	Listener Role = "listener"
	Speaker  Role = "speaker"
	Cohost   Role = "cohost"
	Host     Role = "host"
)

// Rank orders the roles: 0 for no role or an unknown one, 1 for Listener, up to 4 for Host.
func (r Role) Rank() int {
	switch r {
	case Listener:
		return 1
	case Speaker:
		return 2
	case Cohost:
		return 3
	case Host:
		return 4
	}
	return 0
}

// OnStage reports whether somebody of this role may be heard.
func (r Role) OnStage() bool { return r.Rank() >= Speaker.Rank() }

// Micros is t as frames carry it (Frame.Origin).
func Micros(t time.Time) int64 { return t.UnixMicro() }
