package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rotunda"
	"rotunda/node/trace"
)

// Trace draws one room: who speaks where, and the way of each voice and of the program to each node.
func Trace(r trace.Room, width int) []string {
	title := ""
	if r.Title != "" {
		title = fmt.Sprintf("  %q", Printable(r.Title))
	}
	lines := []string{
		fmt.Sprintf("room %s%s  %s", r.Room, title, r.State),
		fmt.Sprintf("home %s, standby %s, epoch %d, at %s", orNone(r.Home), orNone(r.Standby), r.Epoch, clock(r.At)),
	}
	if !r.Complete {
		lines = append(lines, "not every node has answered: what follows may lack some")
	}
	lines = append(append(lines, ""), stage(r, width)...)
	if len(r.Nodes) > 0 {
		lines = append(append(lines, ""), places(r, width)...)
	}
	if h := hops(r, width); len(h) > 1 {
		lines = append(append(lines, ""), h...)
	}
	if width > 0 {
		for i, l := range lines {
			lines[i] = Cut(l, width)
		}
	}
	return lines
}

func stage(r trace.Room, width int) []string {
	if len(r.Stage) == 0 {
		return []string{"Nobody is on stage."}
	}
	columns := []column{{name: "ON STAGE", grow: true}, {name: "ROLE"}, {name: "MICROPHONE"}, {name: "AT"}, {name: "AGE AT HOME", right: true}, {name: "LOST", right: true}}
	var rows [][]string
	for _, v := range r.Stage {
		mic := "none"
		switch {
		case v.Live && v.Muted:
			mic = "muted"
		case v.Live:
			mic = "open"
		}
		age, lost := none, none
		if s, ok := r.Voices(v.User)[r.Home]; ok && v.Live {
			age, lost = "here", none
			if len(s.Ways) > 0 {
				age, lost = millis(s.Age), percent(s.Lost())
			}
		}
		rows = append(rows, []string{cmp.Or(v.Name, string(v.User)), string(v.Role), mic, orNone(v.Node), age, lost})
	}
	return table(width, columns, rows)
}

// places is the program at each node. What is between mouth and ear there is the oldest open voice's age at home, the
// program's age and half the listeners' round trip; the mixer and the listener's buffer add theirs.
func places(r trace.Room, width int) []string {
	columns := []column{{name: "NODE"}, {name: "LISTENERS", right: true}, {name: "PROGRAM", right: true}, {name: "OLDEST", right: true}, {name: "LOST", right: true},
		{name: "LAST MILE", right: true}, {name: "LOST THERE", right: true}, {name: "SUM", right: true}, {name: "WAYS"}}
	voice := 0.0
	for _, v := range r.Stage {
		if v.Live && !v.Muted {
			voice = max(voice, r.Voices(v.User)[r.Home].Age)
		}
	}
	var rows [][]string
	for _, p := range r.Nodes {
		row := []string{string(p.Node), count(p.Listeners), none, none, none, none, none, none, none}
		if s, ok := r.Program(p); ok {
			row[2], row[8] = "here", "mixed here"
			if len(s.Ways) > 0 {
				row[2], row[3], row[4], row[8] = millis(s.Age), millis(s.Oldest), percent(s.Lost()), ways(p.Node, s)
			}
			row[7] = millis(voice + s.Age + p.RTT/2)
		}
		if p.RTT > 0 {
			row[5] = millis(p.RTT / 2)
			row[6] = percent(p.Lost)
		}
		rows = append(rows, row)
	}
	return table(width, columns, rows)
}

// ways says by which nodes a stream comes, the better one first.
func ways(to rotunda.NodeID, s trace.Stream) string {
	var all []string
	for _, w := range s.Ways {
		var path []string
		for _, n := range slices.Backward(w.Path) {
			path = append(path, string(n))
		}
		all = append(all, strings.Join(append(path, string(to)), " > "))
	}
	return strings.Join(all, ", ")
}

// hops is each link that a stream of the room crosses, and what is added and lost there.
func hops(r trace.Room, width int) []string {
	columns := []column{{name: "STREAM", grow: true}, {name: "FROM"}, {name: "TO"}, {name: "RTT", right: true}, {name: "AGE", right: true}, {name: "ADDED", right: true},
		{name: "LOST", right: true}, {name: "FIRST", right: true}}
	at := map[rotunda.NodeID]trace.Part{}
	for _, p := range r.Nodes {
		at[p.Node] = p
	}
	var rows [][]string
	for _, p := range r.Nodes {
		for _, s := range p.Streams {
			for _, w := range s.Ways {
				row := []string{name(r, s), string(w.Path[0]), string(p.Node), none, none, none, none, none}
				if w.RTT > 0 {
					row[3] = millis(w.RTT)
				}
				if w.Frames > 0 {
					row[6], row[7] = percent(w.Lost), fmt.Sprintf("%.0f %%", 100*w.First)
				}
				if w.First > .5 { // the age is that of the first copy
					row[4] = millis(s.Age)
					if before, ok := ageAt(at[w.Path[0]], s); ok {
						row[5] = millis(s.Age - before)
					}
				}
				rows = append(rows, row)
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b []string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]), cmp.Compare(a[2], b[2]))
	})
	return table(width, columns, rows)
}

// ageAt is how old the frames of a stream are at another node.
func ageAt(p trace.Part, s trace.Stream) (age float64, ok bool) {
	for _, x := range p.Streams {
		if x.Track == s.Track && x.Epoch == s.Epoch && x.Origin == s.Origin {
			return x.Age, true
		}
	}
	return 0, false
}

// name calls a microphone by the name of who has it.
func name(r trace.Room, s trace.Stream) string {
	user, is := s.Track.Speaker()
	if !is {
		return fmt.Sprintf("program/%d", s.Epoch)
	}
	for _, v := range r.Stage {
		if v.User == user && v.Name != "" {
			return v.Name
		}
	}
	return string(user)
}
