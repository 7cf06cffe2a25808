package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Key    string // dotted, for example "http.listen"; "" for the file as a whole
	Source string // the file's name, the environment variable, or the flag; "" where the value is missing or was set in code
	Line   int    // in the file, from 1; 0 where the value does not come from the file
	Column int    // in characters, from 1
	Text   string // what is wrong; never contains a secret

	excerpt string // the line of the file; "" where there is none or it may hold a secret
}

// String is the problem in one line: rotunda.yaml:3:11: media.listen: port "844x" is not a number.
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Text
}

// Problems is every problem of a configuration, those of the file in the order of its lines.
type Problems []Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Explain is Error with the line of the file under each problem, and a caret under the place.
func (ps Problems) Explain() string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String() + "\n")
		if p.excerpt != "" {
			// Tabs are kept in front of the caret, so that it stands right whatever their width.
			blank := strings.Map(func(r rune) rune {
				if r == '\t' {
					return r
				}
				return ' '
			}, string([]rune(p.excerpt)[:min(p.Column-1, len([]rune(p.excerpt)))]))
			fmt.Fprintf(&b, "%6d | %s\n       | %s^\n", p.Line, p.excerpt, blank)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// err is ps as an error, nil when there is none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) { // what has a line comes first
			return b.Line - a.Line
		}
		return a.Line - b.Line
	})
	return ps
}

// nearest returns the known word most like s, "" where none is close enough to have been meant.
func nearest(s string, known []string) string {
	best, distance := "", max(2, len(s)/3)+1
	for _, k := range known {
		if d := editDistance(s, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the characters to insert, delete or replace (Levenshtein). Words longer than any key are far.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
