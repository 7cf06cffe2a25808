package people_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/people"
	"rotunda/control/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faultyLog is a log that can go away, and one that keeps an append and does not say so.
type faultyLog struct {
	eventlog.Memory
	away atomic.Bool
	mute atomic.Int32 // so many appends are kept and not acknowledged
	lose atomic.Int32 // so many appends are neither
}

func (l *faultyLog) Append(ctx context.Context, id rotunda.RoomID, b eventlog.Batch) (eventlog.Position, error) {
	if l.away.Load() {
		return eventlog.Position{}, eventlog.ErrUnavailable
	}
	if l.lose.Add(-1) >= 0 {
		return eventlog.Position{}, eventlog.ErrUnknown
	}
	p, err := l.Memory.Append(ctx, id, b)
	if err == nil && l.mute.Add(-1) >= 0 {
		return eventlog.Position{}, eventlog.ErrUnknown
	}
	return p, err
}

// open makes a node's store that runs until the test ends.
func open(t *testing.T, log eventlog.Log) *people.Store {
	t.Helper()
	s := people.New(people.Config{Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	return s
}

func claims(user rotunda.UserID, jti string, issued time.Time) token.Claims {
	return token.Claims{User: user, ID: jti, Issued: issued, Expires: issued.Add(time.Hour)}
}

// What one node refuses, the others refuse as soon as the log has told them.
func TestRefusedOnEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		a, b := open(t, log), open(t, log)
		ctx, now := t.Context(), time.Now()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		must(a.Revoke(ctx, "olga", "j1", now.Add(time.Hour)))
		must(a.SignOut(ctx, "bob", "bob"))
		must(b.Ban(ctx, "olga", "eve", "spam"))
		for what, c := range map[string]struct {
			claims token.Claims
			want   error
		}{
			"revoked":                        {claims("ada", "j1", now), people.ErrRevoked},
			"another of hers":                {claims("ada", "j2", now), nil},
			"issued before the sign-out":     {claims("bob", "j3", now.Add(-time.Minute)), people.ErrRevoked},
			"issued in the same second":      {claims("bob", "j4", now.Truncate(time.Second)), people.ErrRevoked},
			"issued at no time that it says": {token.Claims{User: "bob", ID: "j5"}, people.ErrRevoked},
			"issued after the sign-out":      {claims("bob", "j6", now.Add(time.Second)), nil},
			"banned, with a new token":       {claims("eve", "j7", now.Add(time.Hour)), people.ErrBanned},
		} {
			for i, s := range []*people.Store{a, b} {
				if err := s.Refused(c.claims); !errors.Is(err, c.want) {
					t.Errorf("%s, node %d: %v, want %v", what, i, err, c.want)
				}
			}
		}
		for i, s := range []*people.Store{a, b} {
			select {
			case <-s.Changed():
			default:
				t.Errorf("node %d was not told to look through its sessions", i)
			}
		}
		must(a.Unban(ctx, "olga", "eve"))
		if err := b.Refused(claims("eve", "j7", now)); err != nil {
			t.Errorf("unbanned: %v", err)
		}
		if err := a.Unban(ctx, "olga", "eve"); !errors.Is(err, people.ErrUnknown) {
			t.Errorf("unbanned twice: %v", err)
		}
		c := open(t, log) // a node that comes later
		if err := c.Refused(claims("ada", "j1", now)); !errors.Is(err, people.ErrRevoked) {
			t.Errorf("a node that comes later: %v", err)
		}
	})
}

// A node that has never read the chain does not know whom to refuse, and refuses everybody.
func TestRefusesAllUntilRead(t *testing.T) {
	s := people.New(people.Config{Log: new(eventlog.Memory)})
	if err := s.Refused(claims("ada", "j1", time.Now())); !errors.Is(err, people.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if err := s.Ban(t.Context(), "olga", "eve", ""); !errors.Is(err, people.ErrUnavailable) {
		t.Errorf("ban: %v, want ErrUnavailable", err)
	}
}

// Appends that are not acknowledged are neither lost nor done twice; with the log away nothing is said to be done, and what
// was refused before still is.
func TestLogFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		s, ctx := open(t, log), t.Context()
		if err := s.Ban(ctx, "olga", "eve", ""); err != nil {
			t.Fatal(err)
		}
		count := func() int {
			entries, _, err := log.Read(ctx, people.Chain, eventlog.Position{}, eventlog.ReadMax)
			if err != nil {
				t.Fatal(err)
			}
			return len(entries)
		}
		log.mute.Store(1)
		if err := s.Revoke(ctx, "olga", "kept", time.Time{}); err != nil || count() != 2 {
			t.Errorf("kept and not acknowledged: %v, %d facts, want 2", err, count())
		}
		log.lose.Store(2)
		if err := s.Revoke(ctx, "olga", "lost", time.Time{}); err != nil || count() != 3 {
			t.Errorf("lost twice: %v, %d facts, want 3", err, count())
		}
		log.lose.Store(1 << 20)
		if err := s.Revoke(ctx, "olga", "never", time.Time{}); !errors.Is(err, people.ErrUnknownOutcome) {
			t.Errorf("never acknowledged: %v, want ErrUnknownOutcome", err)
		}
		log.lose.Store(0)
		log.away.Store(true)
		if err := s.Revoke(ctx, "olga", "away", time.Time{}); !errors.Is(err, people.ErrUnavailable) {
			t.Errorf("log away: %v, want ErrUnavailable", err)
		}
		if err := s.Refused(claims("eve", "x", time.Now())); !errors.Is(err, people.ErrBanned) {
			t.Errorf("banned before, with the log away: %v", err)
		}
	})
}

// Under one key, things are done once, on whichever node they are asked for again.
func TestKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		nodes := []*people.Store{open(t, log), open(t, log)}
		ctx := people.WithKey(t.Context(), "k1")
		var ids []string
		for i := range 4 {
			s := nodes[i%2]
			r, err := s.Report(ctx, people.Report{By: "bob", Room: "r1", Reason: "x"})
			if err != nil || r.Reason != "x" {
				t.Fatalf("%+v, %v", r, err)
			}
			ids = append(ids, r.ID)
			p, err := s.EditProfile(ctx, "bob", time.Time{}, func(p *people.Profile) { p.Bio += "x" })
			if err != nil || p.Bio != "x" {
				t.Errorf("repetition %d: %+v, %v", i, p, err)
			}
			if i == 0 {
				if err := s.Ban(t.Context(), "olga", "eve", ""); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Unban(ctx, "olga", "eve"); err != nil {
				t.Errorf("repetition %d: unban: %v", i, err)
			}
		}
		if ids[0] != ids[1] || ids[1] != ids[2] || ids[2] != ids[3] {
			t.Errorf("reports %v", ids)
		}
		if _, err := nodes[1].Report(people.WithKey(t.Context(), "k2"), people.Report{By: "bob", Room: "r1", Reason: "x"}); err != nil {
			t.Fatal(err)
		}
		if n := len(nodes[1].Reports(people.Report.Open)); n != 2 {
			t.Errorf("%d reports for two keys", n)
		}
	})
}

// Many writers on three nodes: each write that was acknowledged counts, on all of them.
func TestManyWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		nodes := []*people.Store{open(t, log), open(t, log), open(t, log)}
		done := make(chan error, 30)
		for i := range 30 {
			go func() {
				u := rotunda.UserID(fmt.Sprintf("u%d", i))
				_, err := nodes[i%3].EditProfile(t.Context(), u, time.Time{}, func(p *people.Profile) { p.Bio = "I am " + string(u) })
				done <- err
			}()
		}
		for range 30 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for i, s := range nodes {
			for j := range 30 {
				u := rotunda.UserID(fmt.Sprintf("u%d", j))
				if p, _ := s.Profile(u); p.Bio != "I am "+string(u) {
					t.Errorf("node %d has %+v of %s", i, p, u)
				}
			}
		}
	})
}

func TestProfiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ctx := open(t, new(faultyLog)), t.Context()
		h := people.HashOf([]byte("a picture"))
		edit := func(u rotunda.UserID, until time.Time, f func(*people.Profile)) error {
			_, err := s.EditProfile(ctx, u, until, f)
			return err
		}
		if err := edit("ada", time.Time{}, func(p *people.Profile) { p.Name, p.Avatar, p.Origin = "Ada", h, "us-1" }); err != nil {
			t.Fatal(err)
		}
		if err := edit("ada", time.Time{}, func(p *people.Profile) { p.Hidden = true }); err != nil {
			t.Fatal(err)
		}
		if p, _ := s.Profile("ada"); p.Name != "Ada" || p.Avatar != h || !s.Hidden("ada") || s.Hidden("bob") {
			t.Errorf("after two changes: %+v", p)
		}
		if err := edit("g_bob", time.Now().Add(time.Hour), func(p *people.Profile) { p.Avatar = h }); err != nil {
			t.Fatal(err)
		}
		if origin, ok := s.Shown(h); !ok || origin != "" {
			t.Errorf("shown by two: %v, from %q", ok, origin)
		}
		for what, f := range map[string]func(*people.Profile){
			"name that reverses": func(p *people.Profile) { p.Name = "a\u202eb" }, "spaces around": func(p *people.Profile) { p.Name = " Ada" },
			"bio too long":  func(p *people.Profile) { p.Bio = strings.Repeat("x", people.BioMax+1) },
			"bio in lines":  func(p *people.Profile) { p.Bio = "a\nb" },
			"a path":        func(p *people.Profile) { p.Avatar = "../../etc/passwd" },
			"not hex":       func(p *people.Profile) { p.Avatar = people.Hash(strings.Repeat("G", 64)) },
			"not text":      func(p *people.Profile) { p.Bio = "\xff" },
			"name too long": func(p *people.Profile) { p.Name = strings.Repeat("x", token.NameMax+1) },
		} {
			if err := edit("ada", time.Time{}, f); !errors.Is(err, people.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", what, err)
			}
		}
		time.Sleep(2 * time.Hour)
		if _, ok := s.Profile("g_bob"); ok {
			t.Error("a guest is remembered for longer than their token")
		}
		if err := s.Forget(ctx, "ada"); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Profile("ada"); ok {
			t.Error("ada is not forgotten")
		}
	})
}

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		s, ctx := open(t, log), t.Context()
		r, err := s.Report(ctx, people.Report{By: "bob", Room: "r1", User: "eve", Reason: " shouting ", Note: "all\nday"})
		if err != nil || r.ID == "" || !r.Open() || r.Reason != "shouting" {
			t.Fatalf("%+v, %v", r, err)
		}
		for what, bad := range map[string]people.Report{
			"no reason": {By: "bob"}, "of spaces": {By: "bob", Reason: "  "}, "invisible": {By: "bob", Reason: "a\u200bb"},
			"long": {By: "bob", Reason: "x", Note: strings.Repeat("x", people.NoteMax+1)},
		} {
			if _, err := s.Report(ctx, bad); !errors.Is(err, people.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", what, err)
			}
		}
		time.Sleep(time.Minute)
		if _, err := s.Report(ctx, people.Report{By: "kim", Room: "r1", Reason: "x"}); err != nil {
			t.Fatal(err)
		}
		if n, since := s.Waiting(); n != 2 || !since.Equal(r.At) {
			t.Errorf("%d wait since %v, want 2 since %v", n, since, r.At)
		}
		answered, err := s.Answer(ctx, "olga", r.ID, "Banned.")
		if n, since := s.Waiting(); n != 1 || !since.Equal(r.At.Add(time.Minute)) {
			t.Errorf("%d wait since %v after the oldest was answered", n, since)
		}
		if err != nil || answered.Open() || answered.AnsweredBy != "olga" || answered.Reason != "shouting" {
			t.Errorf("answered: %+v, %v", answered, err)
		}
		if _, err := s.Answer(ctx, "olga", "nothing", "x"); !errors.Is(err, people.ErrUnknown) {
			t.Errorf("unknown report: %v", err)
		}
		for range 20 {
			if _, err := s.Report(ctx, people.Report{By: "tim", Room: "r1", Reason: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Report(ctx, people.Report{By: "tim", Room: "r1", Reason: "x"}); !errors.Is(err, people.ErrFull) {
			t.Errorf("the 21st open report of one person: %v, want ErrFull", err)
		}
		if _, err := s.Report(ctx, people.Report{By: "tom", Room: "r1", Reason: "x"}); err != nil {
			t.Errorf("another person's: %v", err)
		}
		mine := s.Reports(func(r people.Report) bool { return r.By == "tim" })
		if len(mine) != 20 {
			t.Errorf("tim has %d reports", len(mine))
		}
		other := open(t, log)
		if got := other.Reports(func(r people.Report) bool { return r.ID == answered.ID }); len(got) != 1 || got[0] != answered {
			t.Errorf("a later node has %+v, want %+v", got, answered)
		}
	})
}

// A long chain is folded: a node that comes later reads a snapshot, and knows the same; one that was cut off goes on from it.
func TestLongChainIsFolded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		s, ctx := open(t, log), t.Context()
		if err := s.Ban(ctx, "olga", "eve", "spam"); err != nil {
			t.Fatal(err)
		}
		h := people.HashOf([]byte("a picture"))
		for i := range 1500 {
			u := rotunda.UserID(fmt.Sprintf("u%d", i%40))
			_, err := s.EditProfile(ctx, u, time.Time{}, func(p *people.Profile) { p.Bio, p.Avatar = fmt.Sprint(i), h })
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if _, _, err := log.Read(ctx, people.Chain, eventlog.Position{}, 1); !errors.Is(err, eventlog.ErrPruned) {
			t.Errorf("the beginning of a chain of 1,501 facts: %v, want ErrPruned", err)
		}
		later := open(t, log)
		for i := 1460; i < 1500; i++ {
			u := rotunda.UserID(fmt.Sprintf("u%d", i%40))
			if p, _ := later.Profile(u); p.Bio != fmt.Sprint(i) {
				t.Errorf("a later node has %+v of %s, want %d", p, u, i)
			}
		}
		if _, ok := later.Shown(h); !ok {
			t.Error("a later node does not know what pictures are shown")
		}
		if err := later.Refused(claims("eve", "j", time.Now())); !errors.Is(err, people.ErrBanned) {
			t.Errorf("a later node on somebody banned: %v", err)
		}
		if r, err := eventlog.Verify(ctx, log, people.Chain); err != nil || r.Err != nil || r.Kept != 1 {
			t.Errorf("verified: %+v, %v, want the ban kept whole", r, err)
		}
	})
}

// The people's chain is no room: nobody finds it among them or writes to it as one.
func TestChainIsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		s, ctx := open(t, log), t.Context()
		if err := s.Ban(ctx, "olga", "eve", ""); err != nil {
			t.Fatal(err)
		}
		rooms := people.Rooms(log)
		if e, end, err := rooms.Read(ctx, people.Chain, eventlog.Position{}, 1); len(e) != 0 || end.Seq != 0 || err != nil {
			t.Errorf("read: %v %v %v", e, end, err)
		}
		b := eventlog.Batch{Records: []eventlog.Record{{ID: "x", Data: []byte("{}")}}}
		if _, err := rooms.Append(ctx, people.Chain, b); !errors.Is(err, eventlog.ErrConflict) {
			t.Errorf("append: %v", err)
		}
		if _, err := rooms.Append(ctx, "r1", b); err != nil {
			t.Fatal(err)
		}
		var got []rotunda.RoomID
		watching, stop := context.WithCancel(ctx)
		go func() {
			synctest.Wait()
			stop()
		}()
		err := rooms.Watch(watching, func(_ bool, heads []eventlog.Head) error {
			for _, h := range heads {
				got = append(got, h.Room)
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || len(got) != 1 || got[0] != "r1" {
			t.Errorf("watched %v, %v", got, err)
		}
	})
}
