package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"rotunda"
	"rotunda/cascade/plan"
)

// wide is a mesh with a region, eu-west, that has nodes of every kind and none that keeps the control log: the first five do.
var wide = []string{"us-east", "sa-east", "ap-south", "us-east", "sa-east", "eu-west", "eu-west", "eu-west"}

// cast is who plays which part in a room of a wide mesh, by number.
type cast struct {
	room                      string
	relay, beside, edge       int // of eu-west: serves the primaries, serves the backups, and the node where somebody listens
	standby, plain, elsewhere int // the room's standby; a node with a listener of its own and no other part
}

// castOf finds the parts of a room that is mixed at node 0; ok is false where the standby has another part besides.
func (m *mesh) castOf(room, standby string) (c cast, ok bool) {
	c = cast{room: room, relay: -1, standby: slices.Index(m.ids, standby)}
	var members []rotunda.Member
	for i, id := range m.ids {
		members = append(members, rotunda.Member{ID: rotunda.NodeID(id), Region: rotunda.Region(wide[i]), State: rotunda.Alive})
	}
	ask := func(i int) (primary, backup []rotunda.NodeID) {
		return plan.Paths(plan.Request{Self: rotunda.NodeID(m.ids[i]), Members: members, Room: rotunda.RoomID(room), Origin: rotunda.NodeID(m.ids[0])})
	}
	index := func(id rotunda.NodeID) int { return slices.Index(m.ids, string(id)) }
	for i := 5; i < 8; i++ {
		if primary, backup := ask(i); len(primary) == 2 && len(backup) > 2 { // neither of the region's two relays
			c.edge, c.relay, c.beside = i, index(primary[0]), index(backup[0])
			c.elsewhere = index(backup[1])
		}
	}
	for i := 1; i < 5; i++ {
		if i != c.standby && i != c.elsewhere {
			c.plain = i
		}
	}
	return c, c.relay >= 0 && c.standby > 0 && !slices.Contains([]int{c.relay, c.beside, c.edge, c.elsewhere}, c.standby)
}

// perform opens rooms until one has all parts in different hands.
func (m *mesh) perform(t *testing.T, ada *caller, title, hitless string) cast {
	t.Helper()
	for range 40 {
		room := ada.hitlessRoom(title, hitless)
		standby := ""
		until(t, "somebody stands by", func() bool { _, standby = ada.placed(room); return standby != "" })
		if c, ok := m.castOf(room, standby); ok {
			return c
		}
		ada.call("POST", "/v1/rooms/"+room+"/end", "", 200, nil)
	}
	t.Fatal("no room has its parts in different hands")
	return cast{}
}

// hears listens at the edge to a speech while something happens to another node, and returns what was heard of it.
func (m *mesh) hears(t *testing.T, ada *caller, c cast, happen func()) listened {
	t.Helper()
	talk, _ := speech(t)
	speak := terminal(t, "speak", m.urls[0]+"/r/"+c.room, "--token", ada.Token, "--file", talk)
	until(t, "Ada speaks", func() bool { p, _ := ada.member(c.room, ada.User); return p.Live && !p.Muted })
	joins, played := m.series(t, c.edge, "rotunda_join_seconds_count"), m.series(t, c.edge, "rotunda_egress_packets_total")
	ear := terminal(t, "listen", m.urls[c.edge]+"/r/"+c.room, "--json", "--duration", "6s")
	until(t, "one more hears", func() bool {
		return m.series(t, c.edge, "rotunda_join_seconds_count") > joins && m.series(t, c.edge, "rotunda_egress_packets_total") > played+50
	})
	happen()
	h := ear.heard(patience)
	speak.wait(patience)
	if h.Sessions != 1 || h.Expected < 200 {
		t.Errorf("%d sessions, %d packets; want one and more than 200\n%s", h.Sessions, h.Expected, ear.stderr.tail(1500))
	}
	return h
}

// alive is how many nodes of the mesh live, as node i sees it.
func (m *mesh) alive(t *testing.T, i int) (n int) {
	t.Helper()
	admin, _ := m.row(t, i)
	a, err := http.Get("http://" + admin + "/v1/members")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var members []rotunda.Member
	if err := json.NewDecoder(a.Body).Decode(&members); err != nil {
		t.Fatal(err)
	}
	for _, member := range members {
		if member.State == rotunda.Alive {
			n++
		}
	}
	return n
}

// TestNodesFail: a node with listeners of its own, the room's standby and the relay that serves the region stand still for two
// seconds, and then they are killed, one after another, under somebody who listens at another node: nobody hears it.
func TestNodesFail(t *testing.T) { trials(t, nodesFail) }

func nodesFail(t *testing.T, r *trial) {
	mesh := startMeshOf(t, builtBinary(t), wide)
	ada := newCaller(t, mesh.urls[0], "Ada")
	c := mesh.perform(t, ada, "Whoever fails", "")
	t.Logf("the listener is at %s, the relay is %s, the standby %s, a plain edge %s", mesh.ids[c.edge], mesh.ids[c.relay], mesh.ids[c.standby], mesh.ids[c.plain])
	terminal(t, "listen", mesh.urls[c.plain]+"/r/"+c.room, "--duration", "120s")
	calm := func(nodes int) {
		t.Helper()
		until(t, "every node sees who lives", func() bool {
			for i := range mesh.ids {
				if !mesh.ended(t, i) && mesh.alive(t, i) != nodes {
					return false
				}
			}
			return true
		})
	}
	calm(len(wide))
	parts := []struct {
		name string
		node int
	}{{"edge", c.plain}, {"standby", c.standby}, {"relay", c.relay}}
	for _, part := range parts {
		h := mesh.hears(t, ada, c, func() {
			resume := mesh.pause(t, part.node)
			time.AfterFunc(2*time.Second, resume) // a node that stands still for a while: what this is about
		})
		r.heard(part.name+"_hung", h, rotunda.FrameDuration)
		calm(len(wide))
	}
	for killed, part := range parts {
		h := mesh.hears(t, ada, c, func() { mesh.kill(t, part.node) })
		r.heard(part.name+"_killed", h, rotunda.FrameDuration)
		calm(len(wide) - killed - 1)
	}
	if home, standby := ada.placed(c.room); home != mesh.ids[0] || standby == "" || standby == mesh.ids[c.standby] {
		t.Errorf("home is %q, %q stands by; want %s, and somebody who lives", home, standby, mesh.ids[0])
	}
}

// TestARelayFailsOnTheOnlyWay: where a room has one way (hitless off), what a dead relay did not bring is sent once more
// by the next one.
func TestARelayFailsOnTheOnlyWay(t *testing.T) { trials(t, relayFailsOnTheOnlyWay) }

func relayFailsOnTheOnlyWay(t *testing.T, r *trial) {
	const gapMax = 150 * time.Millisecond
	mesh := startMeshOf(t, builtBinary(t), wide)
	ada := newCaller(t, mesh.urls[0], "Ada")
	c := mesh.perform(t, ada, "One way", "off")
	var resume func()
	for _, f := range []struct {
		name string
		do   func()
	}{{"hung", func() { resume = mesh.pause(t, c.relay) }}, {"killed", func() { mesh.kill(t, c.relay) }}} {
		h := mesh.hears(t, ada, c, f.do)
		r.heard("one_way_relay_"+f.name, h, gapMax)
		if copies, taken := mesh.series(t, c.edge, "rotunda_cascade_copies_total"), mesh.series(t, c.edge, "rotunda_cascade_taken_total"); copies > 1.2*taken {
			t.Errorf("%.0f copies of %.0f frames came to the listener's node: that is not one way", copies, taken)
		}
		if f.name == "hung" {
			resume()
			until(t, "it is back", func() bool { return mesh.alive(t, c.edge) == len(wide) })
		}
	}
}
