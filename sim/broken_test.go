package sim

import (
	"strings"
	"testing"

	"rotunda"
	"rotunda/cascade/plan"
	"rotunda/cascade/wire"
)

// brokenSeeds is within how many worlds a broken rule must be found out.
const brokenSeeds = 200

// A rule that is broken on purpose is found out, and as what it is.
func TestBrokenRulesAreCaught(t *testing.T) {
	for _, c := range []struct {
		name   string
		broken broken
		says   string // in what the world says
	}{
		{"duplicate window off", broken{duplicates: true}, "twice"},
		{"depth rule off: a node goes its own way", broken{subscribe: ownWay}, "hops left"},
		{"backup through the primary's relay", broken{paths: oneRelay}, "both ways"},
		{"home ignores the higher epoch", broken{homeStays: true}, "goes on as home"},
		{"a shut microphone passes", broken{gateOpen: true}, "without a grant"},
		{"a node leaves an event out", broken{skipEvent: true}, "the log"},
		{"the planner knows no fence", broken{openWays: true}, "out of the fence"},
		{"who stands outside a fence is served", broken{serveAll: true}, "out of the fence"},
		{"a sealed log is read outside", broken{openSeal: true}, "holds the content"},
		{"a standby outside the fence", broken{anyStandby: true}, "outside the fence"},
		{"a way that comes back here", broken{paths: throughHere}, "path"},
		{"two homes in one epoch", broken{sameEpoch: true}, "are both home"},
		{"who is taken for dead says nothing", broken{takesDeath: true}, "still takes"},
		{"whose way breaks looks for no other", broken{givesUp: true}, "and not on"},
		{"both ways are one link", broken{paths: oneLink}, "the same link"},
		{"a way that goes in a circle", broken{paths: circle}, "twice"},
		{"home leaves a speaker out", broken{deafHome: true}, "does not hear"},
		{"an edge takes an old epoch", broken{oldEpochs: true}, "plays"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(brokenSeeds) {
				r := Run(Config{Seed: seed + 1, Faults: true, broken: c.broken})
				if r.Broken == "" {
					continue
				}
				if !strings.Contains(r.Broken, c.says) {
					t.Fatalf("seed %d: found as %q, want something of %q", r.Seed, r.Broken, c.says)
				}
				t.Logf("seed %d: %s", r.Seed, r.Broken)
				return
			}
			t.Errorf("not found out in %d worlds", brokenSeeds)
		})
	}
}

// ownWay makes a subscription ask for what the node that got it would choose itself, by its own view, instead of for the
// rest of the way that the subscriber named.
func ownWay(w *World, n *node, m wire.Subscribe) wire.Subscribe {
	if len(m.Path) == 0 {
		return m
	}
	origin := w.index[m.Path[len(m.Path)-1]]
	if own, _ := plan.Paths(w.request(n, m.Stream.Room, origin, nil)); own != nil {
		m.Path = own
	}
	return m
}

// throughHere has the primary way lead through the node that asks.
func throughHere(w *World, n *node, primary, backup []rotunda.NodeID) (p, b []rotunda.NodeID) {
	if len(primary) > 1 {
		primary = append([]rotunda.NodeID{primary[0], n.id}, primary[1:]...)
	}
	return primary, backup
}

// oneRelay has the backup go the primary's way wherever that has a relay.
func oneRelay(_ *World, _ *node, primary, backup []rotunda.NodeID) (p, b []rotunda.NodeID) {
	if len(primary) > 1 {
		return primary, primary
	}
	return primary, backup
}

// oneLink has both ways lead straight to the origin.
func oneLink(_ *World, _ *node, primary, backup []rotunda.NodeID) (p, b []rotunda.NodeID) {
	if backup == nil {
		return primary, backup
	}
	return primary[len(primary)-1:], primary[len(primary)-1:]
}

// circle has the primary way come to its relay a second time.
func circle(_ *World, _ *node, primary, backup []rotunda.NodeID) (p, b []rotunda.NodeID) {
	if len(primary) > 1 {
		primary = append([]rotunda.NodeID{primary[0]}, primary...)
	}
	return primary, backup
}
