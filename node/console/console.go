// Package console draws what the operator's verbs show in a terminal: tables that fit a width and a height, without any
// escape code, so that the same lines do for a screen, a dumb terminal and a pipe.
//
// The invariant: a line is never wider than asked for, a screen never higher, and what other people wrote (titles, names)
// cannot move the cursor. The functions are pure and may be called concurrently.
package console

import (
	"fmt"
	"math"
	"strings"
	"time"

	"rotunda"
)

// column is one of a table.
type column struct {
	name  string
	right bool // numbers
	grow  bool // takes what room is left, and is cut where there is too little
}

// table lays rows out in columns, at most width wide; 0: as wide as they are. Columns that do not fit are left out from the
// right, those that grow last.
func table(width int, columns []column, rows [][]string) []string {
	sizes := make([]int, len(columns))
	for i, c := range columns {
		sizes[i] = Width(c.name)
		for _, r := range rows {
			sizes[i] = max(sizes[i], Width(Printable(r[i])))
		}
	}
	shown := fit(width, columns, sizes)
	lines := []string{line(columns, sizes, shown, func(i int) string { return columns[i].name })}
	for _, r := range rows {
		lines = append(lines, line(columns, sizes, shown, func(i int) string { return Printable(r[i]) }))
	}
	return lines
}

const (
	between = 2 // spaces between columns
	growMin = 8 // what a column that grows has at least
)

// fit says which columns are shown, and cuts those that grow.
func fit(width int, columns []column, sizes []int) (shown []bool) {
	shown = make([]bool, len(columns))
	total := -between
	for i := range columns {
		shown[i] = true
		total += sizes[i] + between
	}
	if width <= 0 {
		return shown
	}
	for i := range columns {
		if columns[i].grow && total > width {
			cut := min(total-width, max(sizes[i]-growMin, 0))
			sizes[i] -= cut
			total -= cut
		}
	}
	for i := len(columns) - 1; i > 0 && total > width; i-- {
		if !columns[i].grow {
			shown[i] = false
			total -= sizes[i] + between
		}
	}
	for i := len(columns) - 1; i > 0 && total > width; i-- {
		if shown[i] {
			shown[i] = false
			total -= sizes[i] + between
		}
	}
	sizes[0] = min(sizes[0], width)
	return shown
}

func line(columns []column, sizes []int, shown []bool, cell func(int) string) string {
	var b strings.Builder
	first := true
	for i, c := range columns {
		if !shown[i] {
			continue
		}
		if !first {
			b.WriteString(strings.Repeat(" ", between))
		}
		first = false
		text := Cut(cell(i), sizes[i])
		pad := strings.Repeat(" ", sizes[i]-Width(text))
		if c.right {
			b.WriteString(pad + text)
		} else {
			b.WriteString(text + pad)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// Printable replaces what a terminal would not print as it is.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, s)
}

// Width is how many columns of a terminal a text takes: two for the characters of East Asia and for pictures, none for marks
// on top of others.
func Width(s string) (n int) {
	for _, r := range s {
		n += wide(r)
	}
	return n
}

func wide(r rune) int {
	switch {
	case r >= 0x300 && r <= 0x36f, r == 0x200b, r == 0x200d, r >= 0xfe00 && r <= 0xfe0f, r >= 0x20d0 && r <= 0x20ff:
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// Cut shortens a text to a width, with an ellipsis where something is missing.
func Cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	n := 0
	for i, r := range s {
		if n+wide(r) > width-1 {
			return s[:i] + strings.Repeat("…", min(1, width))
		}
		n += wide(r)
	}
	return s
}

// none stands for what is not known.
const none = "–"

func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func millis(f float64) string {
	switch {
	case math.Abs(f) < 9.95:
		return fmt.Sprintf("%.1f ms", f)
	case math.Abs(f) < 9999.5:
		return fmt.Sprintf("%.0f ms", f)
	}
	return fmt.Sprintf("%.0f s", f/1000)
}

func percent(f float64) string {
	if f > 0 && f < .0005 {
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", 100*f)
}

func orNone[T ~string](s T) string {
	if s == "" {
		return none
	}
	return string(s)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return count(n) + " " + one
	}
	return count(n) + " " + many
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") + " UTC" }

// rtt is the distance of two members in the network, of which one may know nothing yet.
func rtt(a, b rotunda.Member) string {
	if a.ID == b.ID || a.ID == "" || a.Coordinate.Error >= 1 || b.Coordinate.Error >= 1 {
		return none
	}
	return millis(float64(a.Coordinate.Distance(b.Coordinate).Microseconds()) / 1000)
}
