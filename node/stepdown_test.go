package node

import (
	"net/http"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/duty"
	"rotunda/node/edge"
)

// Bob steps down while Ada speaks, and no packet is missing of what his session hears. Nobody has taken the program until
// then, so it must begin, come to his node and have faded Ada in; as long he hears her by herself, as before.
func TestSteppingDownMissesNothing(t *testing.T) {
	m := startNodes(t, 2)
	const tone = 1000.0
	ada, bob := m.guest(0, "Ada"), m.guest(1, "Bob")
	room := ada.createRoom("Stepping down")
	ada.sayTone(room, tone)
	ada.do("DELETE", "/rooms/"+room+"/participants/"+ada.User+"/mute", nil, nil, http.StatusOK)
	bob.do("POST", "/rooms/"+room+"/requests", nil, nil, http.StatusOK)
	ada.do("POST", "/rooms/"+room+"/requests/"+bob.User+"/approve", nil, nil, http.StatusOK)
	bob.onStage(room)
	bob.sayTone(room, 440)
	m.eventually("Bob has a microphone", func() bool { return ada.view(room).Participants[bob.User].Live })
	ear := bob.listen(room, edge.SlotsMax)
	rooms := m.nodes[1].rooms
	rooms.mu.Lock()
	audience := rooms.served[rotunda.RoomID(room)].audience
	rooms.mu.Unlock()
	hearing := func() duty.Hearing { return (*audience.players.Load())[0].hears() }
	m.eventually("Bob hears Ada by herself", func() bool { return ear.hears(tone) && hearing() == duty.Stage })
	if audience.flows(time.Now()) {
		t.Error("the program is at a node where nobody takes it")
	}

	bob.do("PUT", "/rooms/"+room+"/participants/"+bob.User+"/role", map[string]any{"role": "listener"}, nil, http.StatusOK)
	before := ear.count()
	m.eventually("Bob changes over to the program", func() bool {
		if hearing() == duty.Stage {
			return false
		}
		if !audience.flows(time.Now()) {
			t.Error("before it is there")
		}
		return true
	})
	if ear.count() == before {
		t.Error("Bob has heard nothing meanwhile")
	}
	after := ear.count()
	m.eventually("and goes on hearing Ada", func() bool { return ear.count() > after+50 && ear.hears(tone) })
	if gaps := ear.gaps(); gaps != 0 {
		t.Errorf("%d packets are missing of %d", gaps, ear.count())
	}
}

// Who left the stage hears it for so long as the program is not there, and not for ever.
func TestLingering(t *testing.T) {
	at := time.Unix(1e9, 0)
	p := newPlayer("bob", "Bob", quiet{})
	p.setHearing(duty.Stage)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {lingerMax / 2, true}, {lingerMax - 1, true}, {lingerMax, false}} {
		if got := p.lingers(at.Add(c.after)); got != c.want {
			t.Errorf("lingers after %v: %v", c.after, got)
		}
	}
	p.setHearing(duty.Stage) // on stage again
	if !p.lingers(at.Add(time.Hour)) {
		t.Error("does not linger the second time")
	}
}

// quiet is an output that nothing comes of.
type quiet struct{}

func (quiet) Tracks() int            { return 1 }
func (quiet) Send(int, *edge.Packet) {}
func (quiet) Close()                 {}
