package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"rotunda"
	"rotunda/node/trace"
)

// Top is a mesh at one moment, as one node sees it.
type Top struct {
	At      time.Time        `json:"at"`
	Node    rotunda.NodeID   `json:"node"` // who was asked
	Ready   string           `json:"ready"`
	Regions []RegionRow      `json:"regions"`
	Nodes   []NodeRow        `json:"nodes"`
	Rooms   []RoomRow        `json:"rooms"` // live ones
	Traced  int              `json:"traced"`
	Members []rotunda.Member `json:"-"`
}

// RegionRow is the sum over a region.
type RegionRow struct {
	Region    rotunda.Region `json:"region"`
	Nodes     int            `json:"nodes"`
	Up        int            `json:"up"`
	Listeners int            `json:"listeners"`
	Speakers  int            `json:"speakers"`
	CPU       float64        `json:"cpu"` // of the busiest node, 0 to 1
	Homes     int            `json:"homes"`
}

// NodeRow is one node. Age and loss are those of the traced rooms' programs there.
type NodeRow struct {
	Node      rotunda.NodeID      `json:"node"`
	Region    rotunda.Region      `json:"region"`
	State     rotunda.MemberState `json:"state"`
	Listeners int                 `json:"listeners"`
	Speakers  int                 `json:"speakers"`
	CPU       float64             `json:"cpu"`
	RTT       string              `json:"-"`
	Homes     int                 `json:"homes"`
	Standbys  int                 `json:"standbys"`
	Age       *float64            `json:"age_ms"` // the oldest of the programs
	Lost      *float64            `json:"lost"`   // the greatest share of a program's frames that is missing
	Version   string              `json:"version"`
}

// RoomRow is one live room. Listeners, age and loss are known of the traced ones.
type RoomRow struct {
	Room      rotunda.RoomID `json:"room"`
	Title     string         `json:"title"`
	Home      rotunda.NodeID `json:"home"`
	Standby   rotunda.NodeID `json:"standby,omitempty"`
	Host      string         `json:"host"`
	Stage     int            `json:"stage"`
	Listeners *int           `json:"listeners"`
	Age       *float64       `json:"age_ms"`
	Lost      *float64       `json:"lost"`
}

// Sum makes a Top of members, live rooms and the traces of some of them.
func Sum(at time.Time, node rotunda.NodeID, members []rotunda.Member, rooms []RoomRow, traces []trace.Room) Top {
	t := Top{At: at, Node: node, Rooms: rooms, Members: members, Traced: len(traces)}
	self := rotunda.Member{}
	for _, m := range members {
		if m.ID == node {
			self = m
		}
	}
	nodes, regions := map[rotunda.NodeID]*NodeRow{}, map[rotunda.Region]*RegionRow{}
	for _, m := range members {
		n := &NodeRow{
			Node: m.ID, Region: m.Region, State: m.State, Version: m.Version, Listeners: int(m.Load.Listeners), Speakers: int(m.Load.Speakers),
			CPU: float64(m.Load.CPU), RTT: rtt(self, m),
		}
		nodes[m.ID] = n
		r := regions[m.Region]
		if r == nil {
			r = &RegionRow{Region: m.Region}
			regions[m.Region] = r
		}
		r.Nodes++
		if m.State.Up() {
			r.Up, r.Listeners, r.Speakers, r.CPU = r.Up+1, r.Listeners+n.Listeners, r.Speakers+n.Speakers, max(r.CPU, n.CPU)
		}
	}
	for _, room := range rooms {
		if n := nodes[room.Home]; n != nil {
			n.Homes++
			regions[n.Region].Homes++
		}
		if n := nodes[room.Standby]; n != nil {
			n.Standbys++
		}
	}
	t.addTraces(nodes, traces)
	for _, id := range slices.Sorted(maps.Keys(regions)) {
		t.Regions = append(t.Regions, *regions[id])
	}
	for _, n := range nodes {
		t.Nodes = append(t.Nodes, *n)
	}
	slices.SortFunc(t.Nodes, func(a, b NodeRow) int { return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node)) })
	slices.SortStableFunc(t.Rooms, func(a, b RoomRow) int {
		return cmp.Or(cmp.Compare(number(b.Listeners), number(a.Listeners)), cmp.Compare(b.Stage, a.Stage), cmp.Compare(a.Room, b.Room))
	})
	return t
}

func number(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

// addTraces fills in what only the traces know.
func (t *Top) addTraces(nodes map[rotunda.NodeID]*NodeRow, traces []trace.Room) {
	for _, room := range traces {
		i := slices.IndexFunc(t.Rooms, func(r RoomRow) bool { return r.Room == room.Room })
		if i < 0 {
			continue
		}
		r, listeners := &t.Rooms[i], 0
		for _, p := range room.Nodes {
			listeners += p.Listeners
			s, ok := room.Program(p)
			if !ok || len(s.Ways) == 0 {
				continue
			}
			raise(&r.Age, s.Age)
			raise(&r.Lost, s.Lost())
			if n := nodes[p.Node]; n != nil {
				raise(&n.Age, s.Age)
				raise(&n.Lost, s.Lost())
			}
		}
		r.Listeners = &listeners
	}
}

func raise(to **float64, f float64) {
	if *to == nil || **to < f {
		*to = &f
	}
}

// Render draws the mesh in at most height lines (0: as many as there are) of at most width columns.
func (t Top) Render(width, height int) []string {
	up, listeners, speakers := 0, 0, 0
	for _, r := range t.Regions {
		up, listeners, speakers = up+r.Up, listeners+r.Listeners, speakers+r.Speakers
	}
	head := fmt.Sprintf("%d of %s up, %s, %s, %s, %s", up, plural(len(t.Nodes), "node", "nodes"), plural(len(t.Regions), "region", "regions"),
		plural(len(t.Rooms), "room", "rooms"), plural(listeners, "listener", "listeners"), plural(speakers, "speaker", "speakers"))
	seen := fmt.Sprintf("seen by %s at %s", orNone(t.Node), clock(t.At))
	if t.Ready != "" {
		seen += ", which says: " + Printable(t.Ready)
	}
	blocks := [][]string{t.regionTable(width), t.nodeTable(width), t.roomTable(width)}
	lines := []string{head, seen}
	for i, shown := range share(height-len(lines), blocks) {
		lines = append(lines, "")
		lines = append(lines, clip(blocks[i], shown)...)
	}
	for i, l := range lines {
		if width > 0 {
			lines[i] = Cut(l, width)
		}
	}
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	return lines
}

// share gives each block its lines; where they are too many the longest gives way first. Each has an empty line before it.
func share(height int, blocks [][]string) []int {
	sizes, total := make([]int, len(blocks)), len(blocks)
	for i, b := range blocks {
		sizes[i] = len(b)
		total += len(b)
	}
	const least = 3 // a head, a row, and how many there are besides
	for ; height > 0 && total > height; total-- {
		longest := len(blocks) - 1
		for i := range sizes {
			if sizes[i] > sizes[longest] {
				longest = i
			}
		}
		if sizes[longest] <= least {
			break
		}
		sizes[longest]--
	}
	return sizes
}

// clip leaves lines out and says so.
func clip(block []string, n int) []string {
	if len(block) <= n {
		return block
	}
	return append(slices.Clone(block[:n-1]), fmt.Sprintf("… and %d more", len(block)-n+1))
}

func (t Top) regionTable(width int) []string {
	columns := []column{{name: "REGION"}, {name: "NODES", right: true}, {name: "LISTENERS", right: true}, {name: "SPEAKERS", right: true},
		{name: "BUSIEST", right: true}, {name: "HOMES", right: true}}
	var rows [][]string
	for _, r := range t.Regions {
		nodes := fmt.Sprint(r.Nodes)
		if r.Up < r.Nodes {
			nodes = fmt.Sprintf("%d of %d", r.Up, r.Nodes)
		}
		rows = append(rows, []string{string(r.Region), nodes, count(r.Listeners), count(r.Speakers), fmt.Sprintf("%.0f %%", 100*r.CPU), count(r.Homes)})
	}
	return table(width, columns, rows)
}

func (t Top) nodeTable(width int) []string {
	columns := []column{{name: "NODE"}, {name: "STATE"}, {name: "LISTENERS", right: true}, {name: "SPEAKERS", right: true}, {name: "CPU", right: true},
		{name: "AGE", right: true}, {name: "LOST", right: true}, {name: "HOME", right: true}, {name: "STANDBY", right: true}, {name: "RTT", right: true}, {name: "VERSION"}}
	var rows [][]string
	for _, n := range t.Nodes {
		load := []string{none, none, none} // what one that is gone had last means nothing
		if n.State.Up() {
			load = []string{count(n.Listeners), count(n.Speakers), fmt.Sprintf("%.0f %%", 100*n.CPU)}
		}
		rows = append(rows, []string{
			string(n.Node), string(n.State), load[0], load[1], load[2], known(n.Age, millis), known(n.Lost, percent),
			count(n.Homes), count(n.Standbys), n.RTT, n.Version,
		})
	}
	return table(width, columns, rows)
}

func (t Top) roomTable(width int) []string {
	if len(t.Rooms) == 0 {
		return []string{"No room is live."}
	}
	columns := []column{{name: "ROOM"}, {name: "STAGE", right: true}, {name: "LISTENERS", right: true}, {name: "AGE", right: true}, {name: "LOST", right: true},
		{name: "HOME"}, {name: "STANDBY"}, {name: "TITLE", grow: true}}
	var rows [][]string
	for _, r := range t.Rooms {
		listeners := none
		if r.Listeners != nil {
			listeners = count(*r.Listeners)
		}
		rows = append(rows, []string{
			string(r.Room), count(r.Stage), listeners, known(r.Age, millis), known(r.Lost, percent), orNone(r.Home), orNone(r.Standby), r.Title,
		})
	}
	return table(width, columns, rows)
}

func known(f *float64, text func(float64) string) string {
	if f == nil {
		return none
	}
	return text(*f)
}
