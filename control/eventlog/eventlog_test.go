package eventlog_test

import (
	"encoding/hex"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) { eventlogtest.Run(t, new(eventlog.Memory)) }

func TestMemoryMends(t *testing.T) {
	m := new(eventlog.Memory)
	eventlogtest.Mend(t, m, m.Damage)
}

// The hash is part of what is kept: a change of it makes every old log unreadable.
func TestHashIsGolden(t *testing.T) {
	e := eventlog.Entry{Seq: 7, Prev: eventlog.Hash{1, 2, 3}, Record: eventlog.Record{ID: "k3v9-0", Data: []byte(`{"type":"started"}`)}}
	h := e.Hash("room")
	if got, want := hex.EncodeToString(h[:]), "dde6ba6df4b55c93bb69fe87470448d172c96ce506f0198de130e5a1f0a17d01"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

// Every part of an entry and its room counts, and parts cannot be moved into each other.
func TestHashCoversEverything(t *testing.T) {
	base := eventlog.Entry{Seq: 1, Record: eventlog.Record{ID: "ab", Data: []byte("cd")}}
	seen := map[eventlog.Hash]string{base.Hash("r"): "the entry itself"}
	other := func(what string, h eventlog.Hash) {
		if before, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", what, before)
		}
		seen[h] = what
	}
	other("another room", base.Hash("q"))
	e := base
	e.Seq = 2
	other("another number", e.Hash("r"))
	e = base
	e.Prev[31] = 1
	other("another history", e.Hash("r"))
	e = base
	e.ID, e.Data = "abc", []byte("d")
	other("a letter moved from data to id", e.Hash("r"))
	e = base
	e.ID = ""
	other("no id", e.Hash("r"))
	other("id and room moved", eventlog.Entry{Seq: 1, Record: eventlog.Record{ID: "b", Data: []byte("cd")}}.Hash("ra"))
}

func TestNextRefusesWhatDoesNotFollow(t *testing.T) {
	entries, end := eventlog.Batch{Records: eventlogtest.Records("a", "b")}.Entries("r")
	var at eventlog.Position
	for _, e := range entries {
		next, err := at.Next("r", e)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	if at != end {
		t.Errorf("walked to %v, want %v", at, end)
	}
	bent := entries[1]
	bent.Prev[0] ^= 1
	for _, e := range []eventlog.Entry{entries[0], bent, {Seq: 4}} {
		if _, err := (eventlog.Position{Seq: 1, Hash: entries[0].Hash("r")}).Next("r", e); !errors.Is(err, eventlog.ErrBroken) {
			t.Errorf("entry %d after 1: %v, want ErrBroken", e.Seq, err)
		}
	}
}
