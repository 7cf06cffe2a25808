package control

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
	"rotunda/control/room"
)

// regionKeys are keys of regions with proofs that anybody believes.
type regionKeys map[rotunda.Region]*ecdh.PrivateKey

func (k regionKeys) prove(proof []byte) (rotunda.Region, *ecdh.PublicKey, error) {
	region, public, _ := bytes.Cut(proof, []byte{0})
	key, err := ecdh.P256().NewPublicKey(public)
	return rotunda.Region(region), key, err
}

// ring is that of a node in a region, published.
func (k regionKeys) ring(t *testing.T, log eventlog.Log, region rotunda.Region) *fence.Ring {
	t.Helper()
	if k[region] == nil {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k[region] = key
	}
	proof := append([]byte(string(region)+"\x00"), k[region].PublicKey().Bytes()...)
	r, err := fence.New(fence.Config{Region: region, Keys: []*ecdh.PrivateKey{k[region]}, Proof: proof, Prove: k.prove, Log: log})
	if err == nil {
		err = r.Publish(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// everything is all that a log holds, of every kind.
func everything(t *testing.T, log eventlog.Log) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var all bytes.Buffer
	ids, err := log.Rooms(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		segments, err := log.Segments(ctx, id, 0)
		if err != nil {
			t.Fatal(err)
		}
		at := eventlog.Position{}
		for _, s := range segments {
			for _, e := range s.Kept {
				all.Write(e.Data)
			}
			if at, err = s.End(id); err != nil {
				t.Fatal(err)
			}
		}
		entries, _, err := log.Read(ctx, id, at, eventlog.ReadMax)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			fmt.Fprint(&all, e.ID)
			all.Write(e.Data)
		}
		snapshots, err := log.Snapshots(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range snapshots {
			all.Write(s.Data)
		}
	}
	wctx, stop := context.WithCancel(ctx)
	_ = log.Watch(wctx, func(_ bool, heads []eventlog.Head) error {
		for _, h := range heads {
			all.Write(h.Summary)
		}
		stop()
		return wctx.Err()
	})
	return all.Bytes()
}

// A fenced room is made, goes on for longer than two snapshots, is folded, and is opened anew inside. Nothing of what was said
// is in the log; a node outside knows that there is such a room and where, and the chain is whole for everybody.
func TestFencedRoomIsSealed(t *testing.T) {
	bubble(t, fencedRoomIsSealed)
}

func fencedRoomIsSealed(t *testing.T, log *faulty) {
	regions, keys := new(eventlog.Memory), regionKeys{}
	start := func(name rotunda.NodeID, region rotunda.Region) *node {
		return startWith(t, Config{Log: log, Node: name, Region: region, Fence: keys.ring(t, regions, region)})
	}
	here, there, out := start("here-1", "here"), start("there-1", "there"), start("out-1", "out")
	waitFor := func(what string, holds func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Second) {
			if time.Now().After(deadline) {
				t.Fatalf("not in a minute: %s", what)
			}
		}
	}
	host := room.Actor{User: "u-secret-host", Name: "Secret Name"}
	id, s, err := here.Create(t.Context(), host, room.Create{
		Title: "Secret title", Description: "Secret text", Fence: rotunda.Fence{"here", "there"},
	})
	if err != nil || !id.Fenced() || !s.Fence.Holds("there") || s.Fence.Holds("out") {
		t.Fatal(id, err)
	}
	for i := range 2*snapshotEvery + 50 {
		title := fmt.Sprintf("Secret title %d", i)
		if _, err := there.Do(t.Context(), id, host, room.Edit{Title: &title}); err != nil {
			t.Fatal(i, err)
		}
	}
	waitFor("the log is folded", func() bool {
		segments, err := log.Segments(t.Context(), id, 0)
		return err == nil && len(segments) > 0
	})
	if got := everything(t, log); len(got) < 1000 || bytes.Contains(bytes.ToLower(got), []byte("secret")) {
		t.Errorf("%d bytes of log, and a secret in them", len(got))
	}

	var outside *Outside
	if _, err := out.Get(t.Context(), id); !errors.As(err, &outside) || !outside.Fence.Holds("here") {
		t.Errorf("outside: %v", err)
	}
	title := "x"
	if _, err := out.Do(t.Context(), id, host, room.Edit{Title: &title}); !errors.As(err, &outside) {
		t.Errorf("outside, a command: %v", err)
	}
	if _, err := out.Record(t.Context(), id, 0); !errors.As(err, &outside) {
		t.Errorf("outside, the record: %v", err)
	}
	waitFor("outside knows the fence", func() bool { f, known := out.Fence(id); return known && len(f) == 2 })
	if got, err := out.Regions(t.Context()); err != nil || !slices.Equal(got, []rotunda.Region{"here", "out", "there"}) {
		t.Errorf("regions %v, %v", got, err)
	}
	if _, err := startWith(t, Config{Log: log, Node: "keyless", Region: "here"}).Regions(t.Context()); !errors.Is(err, ErrNoFence) {
		t.Errorf("regions without a key: %v", err)
	}
	if rooms := out.Rooms(); len(rooms) != 0 {
		t.Errorf("outside lists %v", rooms)
	}
	if err := out.Enter(t.Context(), id); !errors.As(err, &outside) {
		t.Errorf("enter: %v", err)
	}

	late := start("there-2", "there")
	s, err = late.Get(t.Context(), id)
	if err != nil || s.Details.Title != fmt.Sprintf("Secret title %d", 2*snapshotEvery+49) {
		t.Fatalf("opened anew: %v", err)
	}
	waitFor("inside lists it", func() bool {
		rooms := late.Rooms()
		return len(rooms) == 1 && strings.HasPrefix(rooms[0].Title, "Secret title") && len(rooms[0].Regions) == 2
	})
	events, err := late.Record(t.Context(), id, 0)
	if err != nil || len(events) == 0 || events[0].Type != room.EventCreated {
		t.Errorf("record: %d, %v", len(events), err)
	}
	if r, err := eventlog.Verify(t.Context(), log, id); err != nil || r.Err != nil || r.Folded == 0 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

func TestFenceIsRefused(t *testing.T) { bubble(t, fenceIsRefused) }

func fenceIsRefused(t *testing.T, log *faulty) {
	regions, keys := new(eventlog.Memory), regionKeys{}
	c := startWith(t, Config{Log: log, Node: "here-1", Region: "here", Fence: keys.ring(t, regions, "here")})
	keyless := startWith(t, Config{Log: log, Node: "here-2", Region: "here"})
	host := room.Actor{User: "u", Name: "U"}
	many := rotunda.Fence{"here"}
	for i := range rotunda.FenceMax {
		many = append(many, rotunda.Region(fmt.Sprintf("r%02d", i)))
	}
	for name, x := range map[string]struct {
		c    *node
		f    rotunda.Fence
		want error
	}{
		"not its own region": {c, rotunda.Fence{"there"}, room.ErrInvalid},
		"never seen":         {c, rotunda.Fence{"here", "nowhere"}, room.ErrInvalid},
		"twice":              {c, rotunda.Fence{"here", "here"}, room.ErrInvalid},
		"not sorted":         {c, rotunda.Fence{"there", "here"}, room.ErrInvalid},
		"too many":           {c, many, room.ErrInvalid},
		"no region":          {c, rotunda.Fence{"Here!", "here"}, room.ErrInvalid},
		"no key":             {keyless, rotunda.Fence{"here"}, fence.ErrNoKey},
	} {
		if _, _, err := x.c.Create(t.Context(), host, room.Create{Title: "t", Fence: x.f}); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	id, _, err := c.Create(t.Context(), host, room.Create{Title: "t", Fence: rotunda.Fence{"here"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyless.Get(t.Context(), id); !errors.As(err, new(*Outside)) {
		t.Errorf("inside without a key: %v", err)
	}
}

// The largest summary and a decision about a full stage stay below the log's and the mesh's bounds when they are sealed for
// as many regions as there may be.
func TestSealedSizes(t *testing.T) {
	log, keys := new(eventlog.Memory), regionKeys{}
	var f rotunda.Fence
	for i := range rotunda.FenceMax {
		region := rotunda.Region(fmt.Sprintf("%063d", i))
		f = append(f, region)
		keys.ring(t, log, region)
	}
	c := New(Config{Log: log, Node: "n", Region: f[0], Fence: keys.ring(t, log, f[0])})
	id := rotunda.FencedID("k3v9q7m2x4ab")
	if err := c.locks.make(t.Context(), c.cfg.Fence, id, f, f[0]); err != nil {
		t.Fatal(err)
	}
	var bars []room.Bar
	for i, n := 0, 0; n < 4<<10; i++ {
		name, err := c.random.letters(64)
		if err != nil {
			t.Fatal(err)
		}
		bars = append(bars, room.Bar{User: rotunda.UserID(name), Host: rotunda.UserID(strings.Repeat("h", 64))})
		n += 64 + 64 + len(`{"user":"","host":""},`)
	}
	var tags []string
	for i := range 8 {
		tags = append(tags, fmt.Sprintf("%d%s", i, strings.Repeat("é", 31)))
	}
	big := Summary{ID: id, Title: strings.Repeat("𝄞", 120), Tags: tags, HostName: strings.Repeat("𝄞", 64), Regions: f, Barred: bars}
	data, err := json.Marshal(big)
	must(t, err)
	sealed, err := c.seal(id, fence.Summary, 0, data)
	if err != nil || len(sealed) > eventlog.SummaryMax {
		t.Errorf("summary of %d bytes, sealed %d, at most %d: %v", len(data), len(sealed), eventlog.SummaryMax, err)
	}
	fact := Fact{ID: strings.Repeat("f", 20), Room: id, Node: "n"}
	var users []rotunda.UserID
	for range room.StageMax {
		name, err := c.random.letters(64)
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, rotunda.UserID(name))
	}
	fact.Events = []room.Event{{ID: fact.eventID(0), Type: room.EventMutedAll, Users: users, Fact: true, At: time.Now()}}
	b, err := fact.encode(1, c.seal)
	if err != nil || len(b) > 11<<10 {
		t.Errorf("fact of %d bytes: %v", len(b), err)
	}
	if back, err := parseFact(b, c.unseal); err != nil || len(back.Events[0].Users) != room.StageMax {
		t.Errorf("fact does not come back: %v", err)
	}
	other := New(Config{Log: log, Node: "o", Region: "out", Fence: keys.ring(t, log, "out")})
	if _, err := parseFact(b, other.unseal); err == nil || bytes.Contains(b, []byte(users[0])) {
		t.Errorf("fact is read outside: %v", err)
	}
}

// The lock of a room is what its first event says. A node outside that writes to the log cannot put another one in its place,
// with a fence of its own liking: those inside neither believe it nor seal with it.
func TestLockIsNotReplaced(t *testing.T) { bubble(t, lockIsNotReplaced) }

func lockIsNotReplaced(t *testing.T, log *faulty) {
	regions, keys := new(eventlog.Memory), regionKeys{}
	start := func(name rotunda.NodeID, region rotunda.Region) *node {
		return startWith(t, Config{Log: log, Node: name, Region: region, Fence: keys.ring(t, regions, region)})
	}
	keys.ring(t, regions, "there")
	keys.ring(t, regions, "out")
	here := start("here-1", "here")
	there := start("there-1", "there")
	id, _, err := here.Create(t.Context(), room.Actor{User: "u", Name: "U"}, room.Create{Title: "t", Fence: rotunda.Fence{"here", "there"}})
	must(t, err)
	_, err = there.Get(t.Context(), id)
	must(t, err)
	forged, err := keys.ring(t, regions, "out").Make(t.Context(), id, rotunda.Fence{"here", "out", "there"})
	must(t, err)
	for kind, place := range map[fence.Kind]uint64{fence.Event: 1, fence.Summary: 0, fence.Snapshot: 500} {
		envelope := forged.Seal(kind, place, []byte("{}"), true)
		for _, c := range []*node{here, there} {
			if got, err := c.unseal(id, kind, place, envelope); !errors.Is(err, eventlog.ErrBroken) {
				t.Errorf("%s believes a forged %c: %q, %v", c.cfg.Node, kind, got, err)
			}
		}
	}
	for _, c := range []*node{here, there} {
		if f, _ := c.Fence(id); f.Holds("out") {
			t.Errorf("%s keeps the room in %v", c.cfg.Node, f)
		}
		sealed, err := c.seal(id, fence.Event, 7, []byte("what was said"))
		must(t, err)
		if _, err := forged.Open(fence.Event, 7, sealed); err == nil {
			t.Errorf("%s seals with a forged lock", c.cfg.Node)
		}
	}
}
