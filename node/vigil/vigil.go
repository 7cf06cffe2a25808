// Package vigil is the clients' rule for a node that has fallen silent: when to doubt it, whom to ask instead, and how long to wait
// between tries. The web page has the same rule in src/core/vigil.ts and src/core/backoff.ts; testdata/stories.json holds both to it.
//
// The rule: a node that lives sends something every 140 ms, be it only a sign of life, so one that has sent nothing for 300 to 400 ms
// is doubted. The client then asks a few others at once, opens a second session at the first that answers, and leaves the silent
// node only when something is heard of the new one. A node that is heard again meanwhile is stayed with, and is given twice the
// time next: on a network with holes a false alarm costs a few small requests, and less and less often.
//
// Everything here is pure: time and randomness are arguments. A Watch belongs to one goroutine.
package vigil

import (
	"slices"
	"time"
)

const (
	// PatienceMin is how long a node may be silent at least before it is doubted: two signs of life and what a network adds. Each
	// session adds up to a third of its own: the listeners of a node do not all act in one instant.
	PatienceMin = 300 * time.Millisecond
	// PatienceMax bounds what false alarms make of it.
	PatienceMax = 16 * PatienceMin
	// calmAfter is how long after its last false alarm a session is as patient as it was at the beginning.
	calmAfter = time.Minute
	// lookMax is how much silence one look can tell of: where looks are further apart, it was the client that stood still.
	lookMax = 150 * time.Millisecond
)

// Verdict is what a look has found.
type Verdict string

// A Watch says each of these once; most looks say nothing.
const (
	Silent Verdict = "silent" // the node is to be doubted: find another
	Back   Verdict = "back"   // it was a false alarm: stay
)

// Watch watches one session. Its zero value is of no use.
type Watch struct {
	spread   float64 // 0 to 1, of the session
	patience time.Duration
	quiet    time.Duration // that has been seen
	looked   time.Time
	alarmed  time.Time // the last false alarm
	silent   bool
}

// NewWatch watches a session that has begun just now. random is uniform in [0, 1).
func NewWatch(random float64) *Watch { return &Watch{spread: random, patience: PatienceMin} }

// Look says what follows from whether something has come since the last look. Looks are to be 50 ms apart.
func (w *Watch) Look(now time.Time, came bool) Verdict {
	passed := now.Sub(w.looked)
	if w.looked.IsZero() {
		passed = 0
	}
	w.looked = now
	if !w.alarmed.IsZero() && now.Sub(w.alarmed) >= calmAfter {
		w.patience, w.alarmed = PatienceMin, time.Time{}
	}
	if came {
		w.quiet = 0
		if !w.silent {
			return ""
		}
		w.silent, w.alarmed = false, now
		w.patience = min(2*w.patience, PatienceMax)
		return Back
	}
	w.quiet += min(passed, lookMax)
	if w.silent || w.quiet < w.patience+time.Duration(w.spread*float64(w.patience)/3) {
		return ""
	}
	w.silent = true
	return Silent
}

// Silent reports whether the node is doubted.
func (w *Watch) Silent() bool { return w.silent }

// AskMax is how many nodes are asked at once.
const AskMax = 3

// Node is one that could serve.
type Node struct {
	Base   string // its origin
	Region string // empty: not known
}

// Order says in which order to ask the nodes of a list, the best guess first, when that of base falls silent: AskMax of them at a
// time. Everybody draws an order of their own, in which the better guesses are likelier to come early: the crowd of a lost node must
// not all go to one. Where there is a node in another region, one of the first AskMax is: a region may be lost as a whole.
// randoms are uniform in [0, 1), one for each node.
func Order(nodes []Node, base string, randoms func() float64) (bases []string) {
	var left []Node
	region := ""
	for _, n := range nodes {
		if n.Base == base {
			region = n.Region
		} else {
			left = append(left, n)
		}
	}
	var order []Node
	for len(left) > 0 {
		// The first is taken by half, the next by half of the rest, and so on.
		i, r := 0, randoms()
		for ; r >= 0.5 && i < len(left)-1; i++ {
			r = 2*r - 1
		}
		order = append(order, left[i])
		left = slices.Delete(left, i, i+1)
	}
	away := slices.IndexFunc(order, func(n Node) bool { return n.Region != region })
	if away >= AskMax {
		n := order[away]
		order = slices.Insert(slices.Delete(order, away, away+1), AskMax-1, n)
	}
	for _, n := range order {
		bases = append(bases, n.Base)
	}
	return bases
}

const (
	waitFirst = 400 * time.Millisecond
	waitMax   = 15 * time.Second
)

// Wait is how long to wait before try n (1 is the first retry): twice as long each time up to a bound, and anywhere in the upper half
// of that, so that ten thousand listeners of a dead node do not come back together. random is uniform in [0, 1).
func Wait(n int, random float64) time.Duration {
	whole := min(waitFirst<<min(max(0, n-1), 10), waitMax)
	return (whole/2 + time.Duration(random*float64(whole)/2)).Round(time.Millisecond)
}
