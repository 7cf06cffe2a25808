package node

import (
	"net/http"
	"strings"
	"testing"
)

// A turn that is over is counted once in the mesh, at the room's home, by how it ended.
func TestTurnsAreCounted(t *testing.T) {
	m := startNodes(t, 3)
	ada := m.guest(1, "Ada")
	id := ada.createRoom("Round")
	ada.sayTone(id, 300) // home is where she is
	for i, name := range []string{"Bob", "Cyd"} {
		m.guest(i, name).do("POST", "/rooms/"+id+"/requests", nil, nil, http.StatusOK)
	}
	ada.do("POST", "/rooms/"+id+"/rotation", map[string]any{"turn": 10}, nil, http.StatusOK)
	ada.at(2).do("POST", "/rooms/"+id+"/rotation/next", nil, nil, http.StatusOK)
	home := func(end string) float64 { return m.counted(1, `rotunda_turn_ratio_count{end="`+end+`"}`) }
	m.eventually("a turn that was cut short and one whose time was up are counted", func() bool { return home("skipped") == 1 && home("time") == 1 })
	sum := m.counted(1, `rotunda_turn_ratio_sum{end="time"}`)
	if sum < 1 || sum > 1.2 {
		t.Errorf("a turn of 10 s took %.3f times as long", sum)
	}
	for _, other := range []int{0, 2} {
		for _, end := range strings.Fields("time skipped left other") {
			if n := m.counted(other, `rotunda_turn_ratio_count{end="`+end+`"}`); n != 0 {
				t.Errorf("node %d, which is not the room's home, has counted %v turns (%s)", other, n, end)
			}
		}
	}
}
