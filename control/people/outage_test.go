package people_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"rotunda/control/eventlog"
	"rotunda/control/people"
)

// links carry refusals between stores while the log is away. What is sealed starts with a word that strangers do not know.
type links struct{ stores []*people.Store }

const sealWord = "sealed:"

var errNoSeal = errors.New("not sealed by a node")

func (l *links) outage(self int) *people.Outage {
	return &people.Outage{
		Seal: func(m []byte) ([]byte, error) { return append([]byte(sealWord), m...), nil },
		Open: func(b []byte) ([]byte, error) {
			m, ok := bytes.CutPrefix(b, []byte(sealWord))
			if !ok {
				return nil, errNoSeal
			}
			return m, nil
		},
		Spread: func(b []byte) error {
			for i, s := range l.stores {
				if i != self {
					if err := s.Heard(b); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

func openLinked(t *testing.T, log eventlog.Log, n int) []*people.Store {
	t.Helper()
	l := &links{}
	for i := range n {
		l.stores = append(l.stores, people.New(people.Config{Log: log, Outage: l.outage(i)}))
	}
	for _, s := range l.stores {
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
	}
	return l.stores
}

// With the log away, whoever is banned or signed out is refused at once on every node that can be reached; when the log is
// back, each of it is in there once, and stays in force. What gives waits.
func TestRefusalsWithoutTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		nodes, ctx, now := openLinked(t, log, 3), t.Context(), time.Now()
		if err := nodes[0].Ban(ctx, "olga", "old", ""); err != nil {
			t.Fatal(err)
		}
		log.away.Store(true)
		for what, err := range map[string]error{
			"ban": nodes[0].Ban(ctx, "olga", "eve", "spam"), "revoke": nodes[1].Revoke(ctx, "olga", "j1", time.Time{}), "sign out": nodes[2].SignOut(ctx, "bob", "bob"),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		check := func(when string) {
			t.Helper()
			for i, s := range nodes {
				for what, c := range map[string]struct{ got, want error }{
					"eve": {s.Refused(claims("eve", "x", now)), people.ErrBanned}, "j1": {s.Refused(claims("ada", "j1", now)), people.ErrRevoked},
					"bob": {s.Refused(claims("bob", "y", now.Add(-time.Minute))), people.ErrRevoked}, "ada": {s.Refused(claims("ada", "j2", now)), nil},
				} {
					if !errors.Is(c.got, c.want) {
						t.Errorf("%s, node %d, %s: %v, want %v", when, i, what, c.got, c.want)
					}
				}
			}
		}
		check("log away")
		if err := nodes[0].Unban(ctx, "olga", "old"); !errors.Is(err, people.ErrUnavailable) {
			t.Errorf("unban: %v, want ErrUnavailable", err)
		}
		if _, err := nodes[0].EditProfile(ctx, "ada", time.Time{}, func(p *people.Profile) { p.Name = "A" }); !errors.Is(err, people.ErrUnavailable) {
			t.Errorf("profile: %v, want ErrUnavailable", err)
		}
		time.Sleep(time.Hour)
		check("an hour later")
		log.away.Store(false)
		time.Sleep(time.Minute)
		check("log back")
		count := map[people.FactType]int{}
		entries, _, err := log.Read(ctx, people.Chain, eventlog.Position{}, eventlog.ReadMax)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			var f people.Fact
			if err := json.Unmarshal(e.Data, &f); err != nil {
				t.Fatal(err)
			}
			count[f.Type]++
		}
		if got := fmt.Sprint(count); got != "map[banned:2 revoked:1 signed_out:1]" {
			t.Errorf("the log has %s", got)
		}
		// What has come back from the log can be taken away again.
		if err := nodes[1].Unban(ctx, "olga", "eve"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i, s := range nodes {
			if err := s.Refused(claims("eve", "x", now)); err != nil {
				t.Errorf("unbanned, node %d: %v", i, err)
			}
		}
	})
}

// A node that decided and died is not needed: another writes it down.
func TestRefusalOutlivesItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(faultyLog)
		s := openLinked(t, log, 1)[0]
		log.away.Store(true)
		f := people.Fact{ID: "f1", At: time.Now(), By: "olga", Type: people.FactBanned, User: "eve"}
		m, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Heard(append([]byte(sealWord), m...)); err != nil {
			t.Fatal(err)
		}
		log.away.Store(false)
		time.Sleep(10 * time.Second)
		other := open(t, log)
		if err := other.Refused(claims("eve", "x", time.Now())); !errors.Is(err, people.ErrBanned) {
			t.Errorf("%v, want ErrBanned", err)
		}
	})
}

// A node that decided dies before anybody has heard of it. When it is back it still refuses whom it had refused, with the log
// or without, and writes it down once; what a crash has left half written counts for nothing.
func TestRefusalOutlivesACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, dir := new(faultyLog), t.TempDir()
		run := func() (s *people.Store, stop func()) {
			o := (&links{}).outage(0)
			o.Dir = filepath.Join(dir, "refusals")
			s = people.New(people.Config{Log: log, Outage: o})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			return s, func() { cancel(); <-ended }
		}
		s, stop := run()
		<-s.Ready()
		log.away.Store(true)
		if err := s.Ban(t.Context(), "olga", "eve", "spam"); err != nil {
			t.Fatal(err)
		}
		stop()
		files, err := filepath.Glob(filepath.Join(dir, "refusals", "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("files %v, %v", files, err)
		}
		if err := os.WriteFile(files[0]+".half", []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		log.away.Store(false)
		s, stop = run()
		<-s.Ready()
		if err := s.Refused(claims("eve", "x", time.Now())); !errors.Is(err, people.ErrBanned) {
			t.Errorf("after a crash: %v, want ErrBanned", err)
		}
		time.Sleep(5 * time.Second)
		stop()
		entries, _, err := log.Read(t.Context(), people.Chain, eventlog.Position{}, eventlog.ReadMax)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d entries in the log, %v, want the ban once", len(entries), err)
		}
		if files, _ := os.ReadDir(filepath.Join(dir, "refusals")); len(files) > 0 {
			t.Errorf("%d files are left", len(files))
		}
	})
}

// The folder cannot be written: the refusal is in force, and who made it is told that it may be lost.
func TestRefusalIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, o := new(faultyLog), (&links{}).outage(0)
		o.Dir = filepath.Join(t.TempDir(), "refusals")
		s := people.New(people.Config{Log: log, Outage: o})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		log.away.Store(true)
		if err := os.RemoveAll(o.Dir); err != nil {
			t.Fatal(err)
		}
		if err := s.Ban(t.Context(), "olga", "eve", "spam"); !errors.Is(err, people.ErrUnknownOutcome) {
			t.Errorf("ban: %v, want ErrUnknownOutcome", err)
		}
		if err := s.Refused(claims("eve", "x", time.Now())); !errors.Is(err, people.ErrBanned) {
			t.Errorf("%v, want ErrBanned", err)
		}
		cancel()
		<-ended
	})
}

func TestHeardIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, now := openLinked(t, new(faultyLog), 1)[0], time.Now()
		good := people.Fact{ID: "f1", At: now, By: "olga", Type: people.FactBanned, User: "eve"}
		for what, edit := range map[string]func(*people.Fact){
			"gives": func(f *people.Fact) { f.Type = people.FactUnbanned }, "a profile": func(f *people.Fact) { f.Type, f.Profile = people.FactProfile, &people.Profile{} },
			"no id": func(f *people.Fact) { f.ID = "" }, "nobody": func(f *people.Fact) { f.User = "" }, "malformed": func(f *people.Fact) { f.User = "e v e" },
			"of tomorrow": func(f *people.Fact) { f.At = now.Add(time.Hour) }, "of last week": func(f *people.Fact) { f.At = now.Add(-200 * time.Hour) },
			"no token": func(f *people.Fact) { f.Type = people.FactRevoked }, "long": func(f *people.Fact) { f.Reason = string(bytes.Repeat([]byte("x"), 281)) },
		} {
			f := good
			edit(&f)
			m, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Heard(append([]byte(sealWord), m...)); !errors.Is(err, people.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", what, err)
			}
		}
		if err := s.Heard([]byte(`{"id":"f1"}`)); !errors.Is(err, errNoSeal) {
			t.Errorf("without a seal: %v", err)
		}
		if err := s.Refused(claims("eve", "x", now)); err != nil {
			t.Errorf("after all that was refused: %v", err)
		}
	})
}

// Whatever a node hears, it goes on, and holds a bounded number of refusals.
func FuzzHeard(f *testing.F) {
	s := people.New(people.Config{Log: new(eventlog.Memory), Outage: (&links{}).outage(0)})
	f.Add([]byte(`{"id":"f1","at":"2026-11-23T12:00:00Z","type":"banned","user":"eve"}`))
	f.Add([]byte(`{"id":"f2","at":"2026-11-23T12:00:00Z","type":"revoked","token":"j1"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, message []byte) {
		err := s.Heard(append([]byte(sealWord), message...))
		if err != nil && !errors.Is(err, people.ErrInvalid) && !errors.Is(err, people.ErrFull) {
			t.Errorf("%q: %v", message, err)
		}
	})
}
