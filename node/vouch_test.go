package node

import (
	"net/http"
	"testing"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/duty"
)

// A standby that was replaced while it was cut off took over, was heard here, and is gone before it could say so. Who heard it
// takes nothing older, so home is not heard any more, until this node tells the log of the epoch and home gets a higher one.
func TestNodeVouchesForAnEpoch(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := rotunda.RoomID(ada.createRoom("Unheard of"))
	ear := m.guest(2, "Bob").listen(string(id), 1)
	ada.sayTone(string(id), 440)
	ada.do("DELETE", "/rooms/"+string(id)+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	m.eventually("Bob hears Ada", func() bool { return ear.hears(440) })
	state := func() *room.State {
		s, err := m.nodes[2].control.Get(t.Context(), id)
		must(t, err)
		return s
	}
	m.eventually("somebody stands by", func() bool { return state().Standby.Node != "" })

	before, other := state(), m.nodes[0].cfg.ID
	if before.Standby.Node == other {
		other = m.nodes[2].cfg.ID
	}
	_, err := m.nodes[1].control.Do(t.Context(), id, room.Actor{System: true}, room.StandBy{Node: other, By: before.Home})
	must(t, err)
	m.eventually("it is replaced", func() bool { return state().Standby.Node == other })

	rooms := m.nodes[2].rooms
	rooms.mu.Lock()
	heard := rooms.served[id].audience
	rooms.mu.Unlock()
	unknown := duty.Pull{Stream: rotunda.StreamID{Room: id, Track: rotunda.Program, Epoch: before.Standby.Epoch}, Origin: before.Standby.Node}
	heard.frame(unknown, &rotunda.Frame{Seq: 1, Payload: []byte{0xf8, 0xff, 0xfe}}) // 20 ms of silence
	deaf := ear.count()
	m.eventually("the log knows, and home has a higher epoch", func() bool { return state().Epoch > before.Standby.Epoch })
	if n := ear.count() - deaf; n > 10 { // frames that were on their way to the player, and the first ones of the new epoch
		t.Errorf("%d packets in between: Bob was not deaf, so this shows nothing", n)
	}
	if s := state(); s.Home != before.Home {
		t.Errorf("home went from %s to %s", before.Home, s.Home)
	}
	m.eventually("Bob hears Ada again", func() bool { return ear.count() > deaf+60 && ear.hears(440) })
}
