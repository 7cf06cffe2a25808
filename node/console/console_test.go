package console

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares lines with a file of testdata.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	file, got := filepath.Join("testdata", name), strings.Join(lines, "\n")+"\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

var at = time.Date(2026, 11, 27, 2, 10, 11, 0, time.UTC)

func member(id, region string, state rotunda.MemberState, listeners, speakers uint32, x float64) rotunda.Member {
	return rotunda.Member{
		ID: rotunda.NodeID(id), Region: rotunda.Region(region), State: state, Version: "1.2.0",
		Load:       rotunda.Load{Listeners: listeners, Speakers: speakers, CPU: .12},
		Coordinate: rotunda.Coordinate{Vec: [8]float64{x}, Error: .2},
	}
}

// tides is a room of three nodes: its home, a node with two ways, and one that has lost some on one way.
func tides() trace.Room {
	mic := rotunda.Mic("g_bo")
	return trace.Room{
		Room: "k3v9m2", Title: "Tides\x1b[2J and 潮", State: "live", At: at, Home: "us-east-1", Epoch: 7, Standby: "eu-west-1", Complete: true,
		Stage: []trace.Voice{
			{User: "g_ada", Name: "Ada", Role: rotunda.Host, Live: true, Node: "us-east-1", Epoch: 3},
			{User: "g_bo", Name: "Bo", Role: rotunda.Speaker, Live: true, Node: "eu-west-1", Epoch: 4},
			{User: "g_cy", Name: "Cy", Role: rotunda.Speaker, Live: true, Muted: true, Node: "us-east-1", Epoch: 5},
			{User: "g_di", Role: rotunda.Cohost},
		},
		Nodes: []trace.Part{
			{Node: "ap-south-1", Region: "ap-south", Listeners: 1200, RTT: 31, Lost: .012, Streams: []trace.Stream{
				{Track: rotunda.Program, Origin: "us-east-1", Epoch: 7, Local: true, Age: 96.4, Oldest: 131, Ways: []trace.Way{
					{Path: []rotunda.NodeID{"us-east-1"}, RTT: 186, Heard: true, Lost: .002, Frames: 2900, First: .97},
					{Path: []rotunda.NodeID{"eu-west-1", "us-east-1"}, RTT: 121, Heard: true, Frames: 2900, First: .03},
				}},
			}},
			{Node: "eu-west-1", Region: "eu-west", Listeners: 310, RTT: 18, Streams: []trace.Stream{
				{Track: mic, Origin: "eu-west-1", Epoch: 4, Outs: 1},
				{Track: rotunda.Program, Origin: "us-east-1", Epoch: 7, Local: true, Outs: 1, Age: 41.2, Oldest: 44, Ways: []trace.Way{
					{Path: []rotunda.NodeID{"us-east-1"}, RTT: 80, Heard: true, Frames: 2900, First: 1},
				}},
				{Track: rotunda.Program, Origin: "eu-west-1", Epoch: 8, Outs: 0},
			}},
			{Node: "us-east-1", Region: "us-east", Listeners: 0, Streams: []trace.Stream{
				{Track: rotunda.Program, Origin: "us-east-1", Epoch: 7, Outs: 2},
				{Track: mic, Origin: "eu-west-1", Epoch: 4, Local: true, Age: 40.6, Oldest: 52, Ways: []trace.Way{
					{Path: []rotunda.NodeID{"eu-west-1"}, RTT: 80, Heard: true, Lost: .0002, Frames: 2900, First: 1},
				}},
			}},
		},
	}
}

func mesh() Top {
	members := []rotunda.Member{
		member("ap-south-1", "ap-south", rotunda.Alive, 1200, 0, .186), member("eu-west-1", "eu-west", rotunda.Draining, 310, 1, .08),
		member("eu-west-2", "eu-west", rotunda.Dead, 90, 0, .081), member("us-east-1", "us-east", rotunda.Alive, 0, 2, 0),
	}
	rooms := []RoomRow{
		{Room: "aaaa", Title: "Not traced", Home: "eu-west-1", Host: "Eve", Stage: 1},
		{Room: "k3v9m2", Title: "Tides\x1b[2J and 潮, a long title that does not fit on a small screen", Home: "us-east-1", Standby: "eu-west-1", Host: "Ada", Stage: 4},
	}
	return Sum(at, "us-east-1", members, rooms, []trace.Room{tides()})
}

func TestTop(t *testing.T) {
	golden(t, "top-wide.txt", mesh().Render(0, 0))
	golden(t, "top-80x24.txt", mesh().Render(80, 24))
	top := Sum(at, "us-east-1", mesh().Members, nil, nil)
	top.Ready = "draining"
	golden(t, "top-empty.txt", top.Render(80, 24))
}

func TestTrace(t *testing.T) {
	golden(t, "trace-wide.txt", Trace(tides(), 0))
	golden(t, "trace-80.txt", Trace(tides(), 80))
	r := tides()
	r.State, r.Nodes, r.Stage, r.Complete = "ended", nil, nil, false
	golden(t, "trace-ended.txt", Trace(r, 80))
}

// Whatever the size and the mesh, nothing is wider or higher than the screen, and nothing moves the cursor.
func TestScreensFit(t *testing.T) {
	top := mesh()
	for i := range 40 {
		id := rotunda.RoomID(strings.Repeat("r", 4+i%40))
		top.Rooms = append(top.Rooms, RoomRow{Room: id, Title: strings.Repeat("潮\a", i)})
		top.Nodes = append(top.Nodes, NodeRow{Node: rotunda.NodeID(strings.Repeat("n", 1+i)), State: rotunda.Alive})
	}
	for width := 10; width < 200; width += 7 {
		for _, height := range []int{12, 24, 50} {
			lines := append(top.Render(width, height), Trace(tides(), width)...)
			if n := len(top.Render(width, height)); n > height {
				t.Errorf("%d lines on a screen of %d", n, height)
			}
			for _, l := range lines {
				if Width(l) > width || strings.ContainsAny(l, "\x1b\a\r\n") {
					t.Fatalf("%d columns: %q has %d", width, l, Width(l))
				}
			}
		}
	}
}

// Where there is too little room, each table says how much is left out.
func TestManyRowsAreSummedUp(t *testing.T) {
	top := mesh()
	for range 50 {
		top.Rooms = append(top.Rooms, RoomRow{Room: "more"})
	}
	screen := strings.Join(top.Render(80, 24), "\n")
	if !strings.Contains(screen, "… and 44 more") || strings.Count(screen, "\n") != 23 {
		t.Errorf("52 rooms on 24 lines:\n%s", screen)
	}
}
