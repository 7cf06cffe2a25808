package sim

import "testing"

// seeds is how many worlds TestWorlds looks at, and seedsShort with -short; `make test` runs a thousand, by the command.
const seeds, seedsShort = 200, 50

// Whatever fails, and in whatever order: no rule is broken on the way, and a few seconds later all is as if nothing had been.
func TestWorlds(t *testing.T) {
	n := seeds
	if testing.Short() {
		n = seedsShort
	}
	var frames, played uint64
	homes, faults := 0, 0
	for seed := range uint64(n) {
		r := Run(Config{Seed: seed + 1, Faults: true})
		frames, played, homes, faults = frames+r.Frames, played+r.Played, homes+r.Homes, faults+r.Faults
		if r.Broken != "" {
			t.Errorf("seed %d: %s", r.Seed, r.Broken)
			for _, line := range r.Story {
				t.Log(line)
			}
			return
		}
	}
	t.Logf("%d worlds: %d faults, %d homes, %d frames arrived, %d played", n, faults, homes, frames, played)
	if homes < 2*n || faults < 3*n || played < uint64(2000*n) {
		t.Error("too little happens in these worlds")
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	a, b := Run(Config{Seed: 7, Faults: true}), Run(Config{Seed: 7, Faults: true})
	if a.Hash != b.Hash || a.Events != b.Events {
		t.Errorf("two worlds of one seed: %+v and %+v", a, b)
	}
	if c := Run(Config{Seed: 8, Faults: true}); c.Hash == a.Hash {
		t.Error("two seeds, one world")
	}
	t.Logf("%+v", a)
}
