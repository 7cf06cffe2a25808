package eventlogtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"rotunda"
	"rotunda/control/eventlog"
)

// Damage changes what a store has of a room behind the back of whoever uses it. Keys follow from numbers.
type Damage func(room rotunda.RoomID, change func(*eventlog.Stored))

// Change is one kind of damage, to a record.
type Change struct {
	Name string
	Do   func(s *eventlog.Stored, i int) // to the one with that index in Entries
	Two  bool                            // and to the next one: there has to be one
	Mark bool                            // no record is touched: who knows the last position can mend it
}

// Changes are the kinds that there are.
var Changes = []Change{
	{Name: "a bit flipped", Do: func(s *eventlog.Stored, i int) {
		data := slices.Clone(s.Entries[i].Entry.Data)
		data[len(data)/2] ^= 4
		s.Entries[i].Entry.Data = data
	}},
	{Name: "another id", Do: func(s *eventlog.Stored, i int) { s.Entries[i].Entry.ID += "x" }},
	{Name: "a bit flipped in the hash before", Do: func(s *eventlog.Stored, i int) { s.Entries[i].Entry.Prev[3] ^= 4 }},
	{Name: "cut off", Do: func(s *eventlog.Stored, i int) { s.Entries[i].Unreadable = true }},
	{Name: "gone", Do: func(s *eventlog.Stored, i int) { s.Entries = slices.Delete(s.Entries, i, i+1) }},
	{Name: "gone with all after it", Do: func(s *eventlog.Stored, i int) { s.Entries = s.Entries[:i] }},
	{Name: "doubled over the next", Two: true, Do: func(s *eventlog.Stored, i int) { s.Entries[i+1] = under(s.Entries[i], i+2, s) }},
	{Name: "doubled after the end", Do: func(s *eventlog.Stored, i int) {
		s.Entries = append(s.Entries, under(s.Entries[i], len(s.Entries)+1, s))
	}},
	{Name: "moved after the end", Do: func(s *eventlog.Stored, i int) {
		s.Entries = append(s.Entries, under(s.Entries[i], len(s.Entries)+1, s))
		s.Entries = slices.Delete(s.Entries, i, i+1)
	}},
	{Name: "changed places with the next", Two: true, Do: func(s *eventlog.Stored, i int) {
		s.Entries[i], s.Entries[i+1] = under(s.Entries[i+1], i+1, s), under(s.Entries[i], i+2, s)
	}},
	{Name: "a bit flipped in the head's hash", Mark: true, Do: func(s *eventlog.Stored, _ int) { s.Head.Hash[5] ^= 1 }},
	{Name: "a bit flipped in the head's number", Mark: true, Do: func(s *eventlog.Stored, _ int) { s.Head.Seq ^= 64 }},
	{Name: "the head gone", Mark: true, Do: func(s *eventlog.Stored, _ int) { s.Head = eventlog.Mark{} }},
	{Name: "the head set back", Mark: true, Do: func(s *eventlog.Stored, i int) {
		s.Head = eventlog.Mark{}
		if i > 0 {
			s.Head.Position = eventlog.Position{Seq: s.Entries[i].Seq - 1, Hash: s.Entries[i].Entry.Prev}
		}
	}},
	{Name: "the base set forward", Mark: true, Do: func(s *eventlog.Stored, i int) {
		s.Base.Position = eventlog.Position{Seq: s.Entries[i].Seq, Hash: eventlog.Hash{1}}
	}},
}

// under is a record under the number n, counted from the store's first one that is not folded.
func under(s eventlog.Slot, n int, of *eventlog.Stored) eventlog.Slot {
	s.Seq = of.Base.Seq + uint64(n)
	s.Key, s.Entry.Seq = "", s.Seq
	return s
}

// Mend checks a log that can be damaged against what Log says of Mend.
func Mend(t *testing.T, log eventlog.Log, damage Damage) {
	for name, test := range map[string]func(*testing.T, eventlog.Log, Damage){
		"Records": mendRecords, "Folded": mendFolded, "Histories": mendHistories, "Newer": mendNewer, "Meanwhile": mendMeanwhile,
	} {
		t.Run(name, func(t *testing.T) { test(t, log, damage) })
	}
}

// CopyOf is a copy of a chain from a position on.
func CopyOf(t testing.TB, log eventlog.Log, room rotunda.RoomID, from eventlog.Position) eventlog.Copy {
	t.Helper()
	c := eventlog.Copy{From: from}
	for at := from; ; {
		entries, end, err := log.Read(t.Context(), room, at, eventlog.ReadMax)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			c.Entries, at = append(c.Entries, e), eventlog.Position{Seq: e.Seq, Hash: e.Hash(room)}
		}
		if at == end {
			return c
		}
	}
}

// wantMended mends a room and wants it whole, up to end.
func wantMended(t *testing.T, log eventlog.Log, room rotunda.RoomID, c eventlog.Copy, end eventlog.Position) {
	t.Helper()
	r, err := log.Mend(t.Context(), room, c, Tens)
	if err != nil || len(r.Names()) == 0 {
		t.Errorf("mending: %q, %v", r.Names(), err)
	}
	wantWhole(t, log, room, end)
	if r, err := log.Mend(t.Context(), room, c, Tens); err != nil || len(r.Names()) > 0 {
		t.Errorf("mending what is whole: %q, %v", r.Names(), err)
	}
}

func wantWhole(t *testing.T, log eventlog.Log, room rotunda.RoomID, end eventlog.Position) {
	t.Helper()
	r, err := eventlog.Verify(t.Context(), log, room)
	if err != nil || r.Err != nil || r.End != end {
		t.Errorf("verify: up to %v, %v, %v; want %v", r.End, r.Err, err, end)
	}
}

// wantRefused wants a room to be left as it is, damaged.
func wantRefused(t *testing.T, log eventlog.Log, room rotunda.RoomID, c eventlog.Copy) {
	t.Helper()
	before, _ := eventlog.Verify(t.Context(), log, room)
	if r, err := log.Mend(t.Context(), room, c, Tens); !errors.Is(err, eventlog.ErrBroken) {
		t.Errorf("mending: %q, %v, want ErrBroken", r.Names(), err)
	}
	after, _ := eventlog.Verify(t.Context(), log, room)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("it was %+v and is %+v", before, after)
	}
}

// Each kind of damage at each record: nothing of it is served, it is mended from a copy that has the record, and named and left
// alone where there is none.
func mendRecords(t *testing.T, log eventlog.Log, damage Damage) {
	const n = 7
	for _, change := range Changes {
		for i := range n {
			if change.Two && i == n-1 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d of %d", change.Name, i+1, n), func(t *testing.T) {
				room := Room()
				at := Chain(t, log, room, n)
				c := CopyOf(t, log, room, eventlog.Position{})
				damage(room, func(s *eventlog.Stored) { change.Do(s, i) })
				for from := range n {
					entries, _, err := log.Read(t.Context(), room, at[from], 1)
					if err == nil && len(entries) == 1 && entries[0].Hash(room) != at[from+1].Hash {
						t.Errorf("entry %d is served and was another", from+1)
					}
				}
				if r, err := eventlog.Verify(t.Context(), log, room); err != nil || r.Err == nil {
					t.Errorf("verify finds nothing: %+v, %v", r, err)
				}
				if !change.Mark {
					wantRefused(t, log, room, eventlog.Copy{From: at[n]})
				}
				wantMended(t, log, room, c, at[n])
			})
		}
	}
}

// What is folded is folded again as it was, where the copy reaches back so far; and so is the place where it ends.
func mendFolded(t *testing.T, log eventlog.Log, damage Damage) {
	const n, older, newer = 700, 600, 650
	for name, change := range map[string]func(*eventlog.Stored){
		"a digest":              func(s *eventlog.Stored) { s.Segments[1].Digests[7][3] ^= 1 },
		"where one begins":      func(s *eventlog.Stored) { s.Segments[1].From.Hash[3] ^= 1 },
		"an entry that is kept": func(s *eventlog.Stored) { s.Segments[0].Kept[2].Data = []byte("another 0") },
		"the first":             func(s *eventlog.Stored) { s.Segments = s.Segments[1:] },
		"one in the middle":     func(s *eventlog.Stored) { s.Segments = slices.Delete(s.Segments, 1, 2) },
		"the last":              func(s *eventlog.Stored) { s.Segments = s.Segments[:2] },
		"all":                   func(s *eventlog.Stored) { s.Segments = nil },
		"the base":              func(s *eventlog.Stored) { s.Base.Hash[1] ^= 1 },
		"no base":               func(s *eventlog.Stored) { s.Base = eventlog.Mark{} },
		"an entry":              func(s *eventlog.Stored) { s.Entries = s.Entries[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			room := Room()
			at := Chain(t, log, room, n)
			c := CopyOf(t, log, room, eventlog.Position{})
			for _, seq := range []int{older, newer} {
				MustPutSnapshot(t, log, room, at[seq])
			}
			if err := log.Prune(t.Context(), room, Tens); err != nil {
				t.Fatal(err)
			}
			damage(room, func(s *eventlog.Stored) {
				for i := range s.Segments { // they may be shared
					s.Segments[i].Digests = slices.Clone(s.Segments[i].Digests)
					s.Segments[i].Kept = slices.Clone(s.Segments[i].Kept)
				}
				change(s)
			})
			if r, err := eventlog.Verify(t.Context(), log, room); err != nil || r.Err == nil && name != "no base" { // which all can do without
				t.Errorf("verify finds nothing: %+v, %v", r, err)
			}
			short := eventlog.Copy{From: at[n-10], Entries: c.Entries[n-10:]}
			if name != "the base" && name != "no base" { // for that the segments are enough, and what follows them
				wantRefused(t, log, room, short)
			}
			wantMended(t, log, room, c, at[n])
		})
	}
}

// A store with another history is left alone, wherever it begins to be another, and also where it is damaged besides.
func mendHistories(t *testing.T, log eventlog.Log, damage Damage) {
	const n = 5
	for common := range n {
		for _, length := range []int{common + 1, n, n + 2} {
			for _, change := range append(slices.Clone(Changes), Change{Name: "nothing", Do: func(*eventlog.Stored, int) {}}) {
				t.Run(fmt.Sprintf("another from %d to %d, %s", common+1, length, change.Name), func(t *testing.T) {
					room := Room()
					at := Chain(t, log, room, common)[common]
					ours, own := eventlog.Copy{Entries: CopyOf(t, log, room, eventlog.Position{}).Entries}, at
					for i := common; i < n; i++ {
						e, end := eventlog.Batch{After: own, Records: Records(fmt.Sprint(i + 1))}.Entries(room)
						ours.Entries, own = append(ours.Entries, e...), end
					}
					for i := common; i < length; i++ {
						at = MustAppend(t, log, room, at, fmt.Sprint("another ", i+1))
					}
					i := length - 1
					if change.Two {
						i--
					}
					if i < common {
						return
					}
					damage(room, func(s *eventlog.Stored) { change.Do(s, i) })
					before, _ := eventlog.Verify(t.Context(), log, room)
					r, err := log.Mend(t.Context(), room, ours, Tens)
					after, _ := eventlog.Verify(t.Context(), log, room)
					if !errors.Is(err, eventlog.ErrBroken) || fmt.Sprint(before) != fmt.Sprint(after) {
						t.Errorf("mending: %q, %v, want ErrBroken; it was %+v and is %+v", r.Names(), err, before, after)
					}
				})
			}
		}
	}
}

// What the store has past the end of the copy stays; a copy that ends before the damage mends nothing.
func mendNewer(t *testing.T, log eventlog.Log, damage Damage) {
	const n, copied = 8, 5
	for i := range n {
		room := Room()
		at := Chain(t, log, room, n)
		c := CopyOf(t, log, room, eventlog.Position{})
		c.Entries = c.Entries[:copied]
		damage(room, func(s *eventlog.Stored) { Changes[0].Do(s, i) })
		if i < copied {
			wantMended(t, log, room, c, at[n])
		} else {
			wantRefused(t, log, room, c)
		}
		room = Room()
		at = Chain(t, log, room, n)
		c = CopyOf(t, log, room, at[copied]) // nor does one that begins after it
		damage(room, func(s *eventlog.Stored) { Changes[0].Do(s, i) })
		if i < copied {
			wantRefused(t, log, room, c)
		} else {
			wantMended(t, log, room, c, at[n])
		}
	}
}

// Several mend at once, while somebody appends: nobody undoes what somebody else has done.
func mendMeanwhile(t *testing.T, log eventlog.Log, damage Damage) {
	const n, menders, rounds = 6, 3, 5
	for range rounds {
		room := Room()
		at := Chain(t, log, room, n)
		c := CopyOf(t, log, room, eventlog.Position{})
		damage(room, func(s *eventlog.Stored) { Changes[0].Do(s, 2) })
		done := make(chan error, menders)
		for range menders {
			go func() {
				for {
					_, err := log.Mend(t.Context(), room, c, Tens)
					if !errors.Is(err, eventlog.ErrConflict) {
						done <- err
						return
					}
				}
			}()
		}
		end := MustAppend(t, log, room, at[n], "more")
		for range menders {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		wantWhole(t, log, room, end)
	}
}
