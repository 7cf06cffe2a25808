package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"rotunda"
	"rotunda/control/room"
	"rotunda/node/console"
)

// meterEvery is how often the live line of a listener is drawn anew.
const meterEvery = 100 * time.Millisecond

// meterWidth is the width of the level's bar, in characters.
const meterWidth = 20

// meter draws one line that is always the newest. A nil meter draws nothing.
type meter struct {
	to    io.Writer
	drawn bool
}

// show draws the line.
func (m *meter) show(e *ear, v room.View) {
	if m == nil {
		return
	}
	m.drawn = true
	fmt.Fprintf(m.to, "\r\x1b[K%s", meterLine(e, v))
}

// clear removes the line.
func (m *meter) clear() {
	if m != nil && m.drawn {
		fmt.Fprint(m.to, "\r\x1b[K")
	}
}

// meterLine is level, loss, latency and who speaks.
func meterLine(e *ear, v room.View) string {
	loss := 0.0
	if n := e.tally.expected(); n > 0 {
		loss = float64(e.tally.missing) / float64(n) * 100
	}
	line := fmt.Sprintf("%s %4s dB  lost %.1f %%  late %d", bar(e.level), levelText(e.level), loss, e.tally.late)
	if e.tally.ages.count > 0 {
		line += fmt.Sprintf("  age %d ms", e.age.Milliseconds())
	}
	if names := speaking(e.sources, v); len(names) > 0 {
		line += "  " + strings.Join(names, ", ")
	}
	return line
}

// bar shows a level: full at -3 dBov, empty at -63 and below.
func bar(level uint8) string {
	full := min(max(0, (63-int(level))*meterWidth/60), meterWidth)
	return strings.Repeat("█", full) + strings.Repeat("·", meterWidth-full)
}

func levelText(level uint8) string {
	if level >= 127 {
		return "-∞"
	}
	return fmt.Sprintf("%d", -int(level))
}

// speaking names who is heard, loudest first.
func speaking(sources rotunda.Sources, v room.View) []string {
	var names []string
	for i := range sources.Len() {
		for user, p := range v.Participants {
			if p.SSRC == sources.At(i) {
				name := p.Name
				if name == "" {
					name = string(user)
				}
				names = append(names, console.Printable(name))
			}
		}
	}
	return names
}

// String is the summary for people.
func (s summary) String() string {
	loss := 0.0
	if s.Expected > 0 {
		loss = float64(s.Missing) / float64(s.Expected) * 100
	}
	text := fmt.Sprintf("from %s: %d packets expected, %d missing (%.2f %%), %d late, longest gap %g ms", s.Node, s.Expected, s.Missing,
		loss, s.Late, s.LongestGap)
	if s.Age.P50 != nil {
		text += fmt.Sprintf("; age p50 %g, p95 %g, p99 %g ms", *s.Age.P50, *s.Age.P95, *s.Age.P99)
	}
	if s.Join != nil {
		text += fmt.Sprintf("; joined in %g ms", *s.Join)
	}
	return text
}
