package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rotunda/control/disk"
	"rotunda/control/eventlog"
	"rotunda/control/token"
)

// Times and bounds.
const (
	// writeMax is how long a write waits for the log.
	writeMax = 2 * time.Second
	// appendMax is how long one append waits for its answer, so that there is time to find out what became of it.
	appendMax = writeMax / 3
	// attemptsMax is how often a write is tried again because other nodes were faster.
	attemptsMax = 16
	// retryWait is between two tries with a log that does not answer.
	retryWait = 100 * time.Millisecond
	// brokenWait is how long a follower waits before it looks at a broken log again.
	brokenWait = 5 * time.Second
	// recentMax is how many facts' ids are remembered, to find those whose outcome was unknown.
	recentMax = 512
)

// Config is what a Store needs. Log is required.
type Config struct {
	Log    eventlog.Log
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discards
	Outage *Outage          // nil: without the log nobody new is refused
	Disk   *disk.Disk       // where Outage.Dir is; nil: the machine's
}

// Store is this node's view of the people's chain and its way to write to it. New makes one; Run makes it work.
type Store struct {
	cfg     Config
	writing chan struct{} // capacity 1: holds a token while one of this node's writes is under way; never closed
	ready   chan struct{} // closed when the chain has been read
	changed chan struct{} // capacity 1, one token for one refusal more or several; never closed
	waiting chan struct{} // capacity 1, one token for what deliver has not looked at; never closed
	box     *disk.Box     // nil: there is none

	mu     sync.RWMutex // guards the rest
	state  *State
	at     eventlog.Position
	folded uint64   // where the last snapshot is that this node knows of
	recent []string // ids of the facts applied last
	loaded bool
	held   map[string]heldFact // by the fact's id
	over   *State              // of held
	kept   map[string]struct{} // what is in box
}

// New returns a Store. It panics where Log is missing.
func New(cfg Config) *Store {
	if cfg.Log == nil {
		panic("people: Config without Log")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Disk == nil {
		cfg.Disk = new(disk.Disk)
	}
	s := &Store{
		cfg: cfg, writing: make(chan struct{}, 1), ready: make(chan struct{}), changed: make(chan struct{}, 1), waiting: make(chan struct{}, 1), state: NewState(),
		held: map[string]heldFact{}, over: NewState(), kept: map[string]struct{}{},
	}
	s.openBox()
	return s
}

// Run follows the chain until ctx ends. It may be called once.
func (s *Store) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.follow(gctx) })
	g.Go(func() error { return s.deliver(gctx) })
	return g.Wait()
}

func (s *Store) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.catchUp(ctx)
		if err == nil {
			s.mu.Lock()
			if !s.loaded {
				s.loaded = true
				close(s.ready)
			}
			at := s.at
			s.mu.Unlock()
			err = s.cfg.Log.Follow(ctx, Chain, at, func(e eventlog.Entry) error { return s.take(e) })
		}
		wait := retryWait
		if errors.Is(err, eventlog.ErrBroken) {
			s.cfg.Logger.Error("the people's chain does not continue what this node has seen", "error", err)
			wait = brokenWait
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// Ready is closed when the chain has been read for the first time.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Changed has a token when Refused may refuse somebody whom it did not refuse when the last one was taken: whoever holds
// sessions open looks through them. It is for one consumer.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Refused says whether the token of these claims is believed no more. The error wraps ErrRevoked, ErrBanned, or
// ErrUnavailable while this node has never read the chain.
func (s *Store) Refused(c token.Claims) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.loaded {
		return ErrUnavailable
	}
	if err := s.over.Refused(c); err != nil {
		return err
	}
	return s.state.Refused(c)
}

// take applies an entry that follows what was applied, and passes over those that were.
func (s *Store) take(e eventlog.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Seq <= s.at.Seq {
		return nil
	}
	next, err := s.at.Next(Chain, e)
	if err != nil {
		return err
	}
	s.at = next
	s.settle(e.ID)
	if s.recent = append(s.recent, e.ID); len(s.recent) > 2*recentMax {
		s.recent = append([]string(nil), s.recent[recentMax:]...)
	}
	var f Fact
	if err := json.Unmarshal(e.Data, &f); err != nil {
		s.cfg.Logger.Warn("fact that cannot be read", "seq", e.Seq, "error", err)
		return nil
	}
	s.state.Apply(f)
	switch f.Type {
	case FactRevoked, FactSignedOut, FactBanned:
		s.tell()
	}
	return nil
}

// tell says that there may be somebody more to refuse.
func (s *Store) tell() {
	select {
	case s.changed <- struct{}{}:
	default: // there is a token already
	}
}

// catchUp reads what this node has not seen.
func (s *Store) catchUp(ctx context.Context) error {
	err := s.read(ctx)
	if errors.Is(err, eventlog.ErrPruned) {
		if err = s.load(ctx); err == nil {
			err = s.read(ctx)
		}
	}
	return err
}

func (s *Store) read(ctx context.Context) error {
	for {
		s.mu.RLock()
		at := s.at
		s.mu.RUnlock()
		entries, end, err := s.cfg.Log.Read(ctx, Chain, at, eventlog.ReadMax)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := s.take(e); err != nil {
				return err
			}
		}
		if len(entries) == 0 || entries[len(entries)-1].Seq >= end.Seq {
			return nil
		}
	}
}

type keyOf struct{}

// WithKey makes what is written with that context happen once: a fact of the same kind under the same key, written at this
// node or another, is not written again while it is among the latest recentMax, and the caller gets its
// id and type alone.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf{}, key)
}

// factID is a new fact's id: the same for the same key.
func factID(ctx context.Context, kind FactType) string {
	key, _ := ctx.Value(keyOf{}).(string)
	if key == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte("rotunda fact 1\n" + string(kind) + "\n" + key))
	return base32.StdEncoding.EncodeToString(sum[:20])
}

// write has decide make a fact of the newest state that this node knows and appends it; where others were faster, decide
// is asked again. It returns when the fact is in the log and in the state, or, where it takes something away and the log is
// away, in force.
func (s *Store) write(ctx context.Context, kind FactType, decide func(s *State, now time.Time) (Fact, error)) (Fact, error) {
	id := factID(ctx, kind)
	f, err := s.append(ctx, id, kind, decide)
	away := errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome)
	if !away || !restricts(kind) || s.cfg.Outage == nil {
		return f, err
	}
	s.mu.RLock()
	loaded := s.loaded
	f, refused := decide(s.state, s.now())
	s.mu.RUnlock()
	if !loaded {
		return f, err
	}
	if refused != nil {
		return f, refused
	}
	f.ID, f.Type = id, kind
	return f, s.withoutLog(f)
}

// now is the time as facts have it.
func (s *Store) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

func (s *Store) append(ctx context.Context, id string, kind FactType, decide func(s *State, now time.Time) (Fact, error)) (Fact, error) {
	ctx, cancel := context.WithTimeout(ctx, writeMax)
	defer cancel()
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
		return Fact{}, fmt.Errorf("others are writing: %w", ErrUnavailable)
	}
	unknown := false
	if ctx.Value(keyOf{}) != nil { // it may be a repetition of what another node has just written
		if s.catchUp(ctx) == nil && s.seen(id) { // away or not, the append finds out too
			return Fact{ID: id, Type: kind}, nil
		}
	}
	for range attemptsMax {
		s.mu.RLock()
		at, loaded := s.at, s.loaded
		f, err := decide(s.state, s.now())
		s.mu.RUnlock()
		if !loaded {
			return f, ErrUnavailable
		}
		if err != nil {
			return f, err
		}
		f.ID, f.Type = id, kind
		data, err := json.Marshal(f)
		if err != nil {
			return f, fmt.Errorf("encode a fact: %v", err)
		}
		batch := eventlog.Batch{After: at, Records: []eventlog.Record{{ID: id, Data: data}}}
		actx, cancel := context.WithTimeout(ctx, appendMax)
		_, err = s.cfg.Log.Append(actx, Chain, batch)
		cancel()
		switch {
		case err == nil:
			entries, _ := batch.Entries(Chain)
			err := s.take(entries[0])
			if late := s.fold(ctx); late != nil {
				s.cfg.Logger.Warn("the people's chain is not folded", "error", late) // the next write tries again
			}
			return f, err
		case errors.Is(err, eventlog.ErrUnknown):
			unknown = true
		case errors.Is(err, eventlog.ErrTooLarge):
			return f, fmt.Errorf("fact: %w: %v", ErrInvalid, err)
		case !errors.Is(err, eventlog.ErrConflict) && !unknown:
			return f, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if late := s.catchUp(ctx); late == nil && s.seen(id) {
			return f, nil
		} else if late == nil && errors.Is(err, eventlog.ErrConflict) {
			unknown = false // the chain has moved past the place of whatever was not answered
		}
		if !s.pause(ctx, err) {
			break
		}
	}
	if unknown {
		return Fact{}, ErrUnknownOutcome
	}
	return Fact{}, fmt.Errorf("others were faster: %w", ErrUnavailable)
}

// pause waits before the next try, unless the last one was a conflict, which says that the log works. It reports whether
// there is time for another.
func (s *Store) pause(ctx context.Context, err error) bool {
	if errors.Is(err, eventlog.ErrConflict) {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(retryWait):
		return true
	}
}

// seen reports whether the fact of this id was applied lately.
func (s *Store) seen(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.applied(id)
}

// applied is seen for who holds s.mu.
func (s *Store) applied(id string) bool { return slices.Contains(s.recent, id) }
