package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rotunda"
	"rotunda/node/opus/packet"
)

// pk is packet seq of a program without silences, with a payload of its own.
func pk(seq int) Packet {
	return Packet{Sequence: uint16(seq), Timestamp: uint32(seq) * rotunda.FrameTicks, Level: uint8(100 - seq), Payload: []byte{0x78, byte(seq)}}
}

// made writes the packets that m has made: number@timestamp:frames.
func made(m *Merger) string {
	var out []string
	for p, ok := m.Pop(); ok; p, ok = m.Pop() {
		in, err := packet.Parse(p.Payload)
		if err != nil {
			return err.Error()
		}
		out = append(out, fmt.Sprintf("%d@%d:%d", p.Sequence, p.Timestamp/rotunda.FrameTicks, in.Frames))
	}
	return strings.Join(out, " ")
}

func TestMerger(t *testing.T) {
	type step struct {
		at   time.Duration
		p    Packet // zero: a timeout
		want string
		late bool
	}
	silence := pk(11)
	silence.Timestamp += 20 * rotunda.FrameTicks
	other := pk(11)
	other.Payload[0] = 0x68
	for _, c := range []struct {
		name   string
		frames int
		steps  []step
	}{
		{"three share a packet", 3, []step{
			{0, pk(10), "", false}, {20 * ms, pk(11), "", false}, {40 * ms, pk(12), "10@10:3", false}, {60 * ms, pk(13), "", false},
			{80 * ms, pk(14), "", false}, {100 * ms, pk(15), "11@13:3", false},
		}},
		{"two, reordered", 2, []step{{0, pk(10), "", false}, {20 * ms, pk(11), "10@10:2", false}, {40 * ms, pk(13), "", false}, {45 * ms, pk(12), "11@12:2", false}}},
		{"reordered inside a group", 3, []step{{0, pk(10), "", false}, {40 * ms, pk(12), "", false}, {45 * ms, pk(11), "10@10:3", false}}},
		{"a hole in a group", 3, []step{{0, pk(10), "", false}, {40 * ms, pk(12), "", false}, {60 * ms, pk(13), "10@10:1 12@12:1", false}, {61 * ms, pk(11), "", true}}},
		{"a group is missing", 3, []step{{0, pk(10), "", false}, {0, pk(11), "", false}, {0, pk(12), "10@10:3", false}, {0, pk(16), "", false}, {0, pk(17), "", false}, {0, pk(18), "12@16:3", false}}},
		{"nothing follows", 3, []step{{0, pk(10), "", false}, {20 * ms, pk(11), "", false}, {49 * ms, Packet{}, "", false}, {50 * ms, Packet{}, "10@10:2", false},
			{60 * ms, pk(12), "", false}, {80 * ms, pk(13), "", false}, {100 * ms, pk(14), "11@12:3", false}}},
		{"silence inside a group", 3, []step{{0, pk(10), "", false}, {50 * ms, Packet{}, "10@10:1", false}, {400 * ms, silence, "", false}, {450 * ms, Packet{}, "11@31:1", false}}},
		{"another configuration", 2, []step{{0, pk(10), "", false}, {20 * ms, other, "10@10:1 11@11:1", false}}},
		{"one", 1, []step{{0, pk(10), "10@10:1", false}, {20 * ms, pk(11), "11@11:1", false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Merger
			m.SetFrames(c.frames)
			for i, s := range c.steps {
				late := false
				if s.p.Payload == nil {
					m.Timeout(start.Add(s.at))
				} else {
					late = m.Push(start.Add(s.at), s.p)
				}
				if got := made(&m); got != s.want || late != s.late {
					t.Errorf("step %d: made %q late %v, want %q %v", i, got, late, s.want, s.late)
				}
			}
		})
	}
}

// After a pause of any length it goes on with the next number.
func TestMergerResumes(t *testing.T) {
	var m Merger
	m.SetFrames(2)
	m.Push(start, pk(10))
	m.Push(start, pk(11))
	made(&m)
	m.Push(start, pk(12)) // and nobody wants it any more
	m.Resume(50000)
	m.Push(start, pk(50000))
	m.Push(start, pk(50001))
	if got := made(&m); got != "11@50000:2" {
		t.Errorf("made %q", got)
	}
}

// The merged packet has the level of its loudest frame and everybody who is heard in it.
func TestMergedSources(t *testing.T) {
	var m Merger
	m.SetFrames(2)
	a, b := pk(1), pk(2)
	a.Sources, a.Origin, a.Level = rotunda.SourcesOf(1, 2), 77, 30
	b.Sources, b.Origin, b.Level = rotunda.SourcesOf(3, 2), 88, 20
	m.Push(start, a)
	m.Push(start, b)
	if p, ok := m.Pop(); !ok || p.Level != 20 || p.Origin != 77 || p.Sources != rotunda.SourcesOf(1, 2, 3) {
		t.Errorf("%+v %v", p, ok)
	}
}

// Whatever comes in whatever order, every frame goes out once at most and in order, numbers only grow, and the number of frames to
// a group may change at any time. Frames that come in order all go out.
func TestMergerProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Merger
		inOrder := rapid.Bool().Draw(t, "in order")
		seq, now := 65000, start
		var lastNumber uint16
		var lastFrame, out, in int
		take := func() {
			for p, ok := m.Pop(); ok; p, ok = m.Pop() {
				info, err := packet.Parse(p.Payload)
				if err != nil {
					t.Fatal(err)
				}
				if out > 0 && int16(p.Sequence-lastNumber) <= 0 {
					t.Fatalf("number %d after %d", p.Sequence, lastNumber)
				}
				first := int(p.Timestamp / rotunda.FrameTicks)
				if first <= lastFrame {
					t.Fatalf("frame %d after %d", first, lastFrame)
				}
				lastNumber, lastFrame = p.Sequence, first+info.Frames-1
				out += info.Frames
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "frames") {
			now = now.Add(20 * ms)
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				m.SetFrames(rapid.IntRange(1, 3).Draw(t, "to a group"))
			case 1:
				m.Timeout(now)
				take()
			}
			seq++
			push := seq
			if !inOrder {
				push += rapid.IntRange(-4, 4).Draw(t, "misorder")
			}
			m.Push(now, pk(push))
			in++
			take()
		}
		m.Timeout(now.Add(time.Second))
		take()
		if inOrder && in != out {
			t.Fatalf("%d frames in, %d out", in, out)
		}
	})
}

func TestMergerAllocatesNothing(t *testing.T) {
	var m Merger
	m.SetFrames(3)
	p, now := pk(1), start
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(20 * ms)
		p.Sequence++
		p.Timestamp += rotunda.FrameTicks
		m.Push(now, p)
		for _, ok := m.Pop(); ok; _, ok = m.Pop() {
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
