package duty

import (
	"testing"
	"time"

	"rotunda"
)

func TestChoose(t *testing.T) {
	member := func(id rotunda.NodeID, region rotunda.Region, s rotunda.MemberState) rotunda.Member {
		return rotunda.Member{ID: id, Region: region, State: s}
	}
	home, near := member("us-1", "us", rotunda.Alive), member("us-2", "us", rotunda.Alive)
	eu, ap := member("eu-1", "eu", rotunda.Alive), member("ap-1", "ap", rotunda.Alive)
	for _, c := range []struct {
		name    string
		c       Choice
		members []rotunda.Member
		want    rotunda.NodeID
	}{
		{"alone", Choice{}, []rotunda.Member{home}, ""},
		{"nobody knows home", Choice{}, []rotunda.Member{eu}, "eu-1"},
		{"the same region is better than none", Choice{}, []rotunda.Member{home, near}, "us-2"},
		{"another region is better, even than a speaker", Choice{Speak: []rotunda.NodeID{"us-2"}}, []rotunda.Member{home, near, eu}, "eu-1"},
		{"where somebody speaks", Choice{Speak: []rotunda.NodeID{"ap-1"}, Attend: []rotunda.NodeID{"eu-1"}}, []rotunda.Member{home, eu, ap}, "ap-1"},
		{"and otherwise", Choice{Speak: []rotunda.NodeID{"eu-1"}, Attend: []rotunda.NodeID{"ap-1"}}, []rotunda.Member{home, eu, ap}, "eu-1"},
		{"where somebody listens", Choice{Attend: []rotunda.NodeID{"ap-1"}}, []rotunda.Member{home, eu, ap}, "ap-1"},
		{"who stands by stays", Choice{Now: "eu-1", Speak: []rotunda.NodeID{"ap-1"}}, []rotunda.Member{home, eu, ap}, "eu-1"},
		{"except for another region", Choice{Now: "us-2"}, []rotunda.Member{home, near, ap}, "ap-1"},
		{"suspect, it stays", Choice{Now: "eu-1"}, []rotunda.Member{home, member("eu-1", "eu", rotunda.Suspect), ap}, "eu-1"},
		{"suspect, it is not chosen", Choice{Attend: []rotunda.NodeID{"eu-1"}}, []rotunda.Member{home, member("eu-1", "eu", rotunda.Suspect), near}, "us-2"},
		{"draining, it goes", Choice{Now: "eu-1"}, []rotunda.Member{home, member("eu-1", "eu", rotunda.Draining), ap}, "ap-1"},
		{"dead, it goes", Choice{Now: "eu-1"}, []rotunda.Member{home, member("eu-1", "eu", rotunda.Dead)}, ""},
	} {
		c.c.Room, c.c.Home, c.c.Members = "r", "us-1", c.members
		if got := Choose(c.c); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWatch(t *testing.T) {
	type step struct {
		at time.Duration // "frame": a voice; "still": silence; "broken", "works": the way; "": only look
		do string
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		steps []step
		want  time.Duration // when it has stopped, looked at every 20 ms
	}{
		{"in the middle of a word", []step{{0, "frame"}, {20 * ms, "frame"}}, 280 * ms},
		{"in silence", []step{{0, "frame"}, {20 * ms, "still"}, {420 * ms, "still"}}, 1080 * ms},
		{"its ways are broken", []step{{0, "frame"}, {20 * ms, "broken"}}, 180 * ms},
		{"no way is heard of while home's process stands still", []step{{0, "frame"}, {80 * ms, "broken"}, {160 * ms, "works"}, {160 * ms, "frame"}, {180 * ms, "still"}}, 840 * ms},
		{"in silence too", []step{{0, "still"}, {200 * ms, "broken"}}, 200 * ms},
		{"mended in time", []step{{0, "frame"}, {20 * ms, "broken"}, {80 * ms, "works"}}, 260 * ms},
		{"never heard", []step{{0, "broken"}}, 3020 * ms},
		{"this process stood still", []step{{0, "frame"}, {120 * ms, "stall"}, {900 * ms, "wake"}}, 1160 * ms},
	} {
		start := time.Unix(1e9, 0)
		var w Watch
		w.Begin(start)
		stalled := false
		var got time.Duration
		for at := time.Duration(0); got == 0 && at < 5*time.Second; at += 20 * ms {
			for _, s := range c.steps {
				if s.at != at {
					continue
				}
				switch s.do {
				case "frame", "still":
					w.Frame(start.Add(at), s.do == "frame")
				case "broken", "works":
					w.Path(s.do == "works")
				case "stall", "wake":
					stalled = s.do == "stall"
				}
			}
			if !stalled && w.Stopped(start.Add(at)) {
				got = at
			}
		}
		if got != c.want {
			t.Errorf("%s: after %v, want %v", c.name, got, c.want)
		}
	}
}

// A standby that is short of processor time believes home dead later, by the measure of what it lacks itself: a home whose
// frames it reads in heaps is not dead.
func TestWatchIsShortOfTimeItself(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		every, frames, want time.Duration // between two looks; between two heaps of frames, 0: none comes; when it has stopped, 0: never
	}{
		{25 * ms, 0, 250 * ms},
		{50 * ms, 0, 250 * ms},
		{60 * ms, 0, 300 * ms},
		{100 * ms, 0, 500 * ms},
		{90 * ms, 360 * ms, 0},
		{25 * ms, 360 * ms, 250 * ms}, // who looks in time knows better
	} {
		start := time.Unix(1e9, 0)
		var w Watch
		w.Begin(start)
		w.Frame(start, true)
		var got time.Duration
		for at := c.every; got == 0 && at < 5*time.Second; at += c.every {
			if c.frames > 0 && at%c.frames == 0 {
				w.Frame(start.Add(at), true)
			}
			if w.Stopped(start.Add(at)) {
				got = at
			}
		}
		if got != c.want {
			t.Errorf("looks every %v, frames every %v: stopped after %v, want %v", c.every, c.frames, got, c.want)
		}
	}
}
