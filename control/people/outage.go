package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rotunda"
)

const (
	// heldMax bounds the refusals that wait for the log.
	heldMax = 1024
	// deliverEvery is how often it is tried to write them down, and othersAfter after what time a node does so for another,
	// which may have died.
	deliverEvery = 500 * time.Millisecond
	othersAfter  = 5 * time.Second
	// heardMax is how old a refusal may be that is spread: nobody brings back one that was taken away long ago.
	heardMax = 24 * time.Hour
)

// Outage is how refusals get around while the control log is away: taking away does not wait.
type Outage struct {
	Seal   func(message []byte) ([]byte, error) // signs as this node
	Open   func(sealed []byte) ([]byte, error)  // fails for what no node of the mesh has sealed
	Spread func(sealed []byte) error            // to every node, which hands it to Heard. Does not block
	// Dir is the folder of this node's own refusals that are not in the log yet: what was acknowledged outlives a crash. It is
	// made where it does not exist. Empty: they are kept nowhere.
	Dir string
}

// heldFact is a refusal that is in force and not in the log yet.
type heldFact struct {
	fact  Fact
	since time.Time
	own   bool // decided here
}

// restricts reports whether the facts of a kind take something away.
func restricts(kind FactType) bool {
	return kind == FactRevoked || kind == FactSignedOut || kind == FactBanned
}

// withoutLog puts a refusal into force that the log cannot take, here and on the nodes that can be reached.
func (s *Store) withoutLog(f Fact) error {
	message, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode a fact: %v", err)
	}
	sealed, err := s.cfg.Outage.Seal(message)
	if err != nil {
		return fmt.Errorf("seal a fact: %w", err)
	}
	if err := s.hold(f, true); err != nil {
		return err
	}
	if err := s.cfg.Outage.Spread(sealed); err != nil {
		s.cfg.Logger.Warn("a refusal without the log stays on this node for now", "error", err)
	}
	if err := s.keep(f.ID, message); err != nil {
		s.cfg.Logger.Error("a refusal is in force and may be lost if this node ends before the log is back", "error", err)
		return fmt.Errorf("refusal: %w: %v", ErrUnknownOutcome, err)
	}
	return nil
}

// openBox takes up what this node had acknowledged and not written down when it ended.
func (s *Store) openBox() {
	if s.cfg.Outage == nil || s.cfg.Outage.Dir == "" {
		return
	}
	box, items, err := s.cfg.Disk.Box(s.cfg.Outage.Dir)
	if err != nil {
		s.cfg.Logger.Error("refusals of before that were to be written down", "error", err)
	}
	s.box = box
	for name, data := range items {
		var f Fact
		err := json.Unmarshal(data, &f)
		if err == nil && (f.ID != name || !restricts(f.Type)) {
			err = ErrInvalid
		}
		if err == nil {
			err = s.hold(f, true)
		}
		if err != nil { // it stays where it is, for somebody to look at
			s.cfg.Logger.Error("a refusal of before", "file", box.Path(name), "error", err)
			continue
		}
		s.kept[name] = struct{}{}
	}
}

// keep has a refusal of this node on the disk until it comes back from the log.
func (s *Store) keep(id string, message []byte) error {
	if s.cfg.Outage.Dir == "" {
		return nil
	}
	if s.box == nil {
		return errors.New("no folder for what waits for the log")
	}
	if err := s.box.Put(id, message); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[id] = struct{}{}
	s.nudge()
	return nil
}

// nudge has deliver look.
func (s *Store) nudge() {
	select {
	case s.waiting <- struct{}{}:
	default: // it will
	}
}

// sweep takes from the disk what has come back from the log.
func (s *Store) sweep() {
	var gone []string
	s.mu.Lock()
	for id := range s.kept {
		if _, held := s.held[id]; !held {
			gone = append(gone, id)
			delete(s.kept, id)
		}
	}
	s.mu.Unlock()
	for _, id := range gone {
		if err := s.box.Drop(id); err != nil {
			s.cfg.Logger.Warn("a refusal that is in the log stays on the disk", "error", err)
		}
	}
}

// Heard takes in what another node has spread. Errors: ErrInvalid, ErrFull, those of Outage.Open.
func (s *Store) Heard(sealed []byte) error {
	if s.cfg.Outage == nil {
		return fmt.Errorf("refusal: %w: this node takes none", ErrInvalid)
	}
	message, err := s.cfg.Outage.Open(sealed)
	if err != nil {
		return err
	}
	var f Fact
	if err := json.Unmarshal(message, &f); err != nil {
		return fmt.Errorf("refusal: %w: %v", ErrInvalid, err)
	}
	named := f.User
	if f.Type == FactRevoked {
		named = rotunda.UserID(f.Token) // the same alphabet
	}
	age := s.cfg.Now().Sub(f.At) // a sign-out in the future would refuse what is issued until then
	if !restricts(f.Type) || named.Valid() != nil || rotunda.UserID(f.ID).Valid() != nil || age < -time.Minute || age > heardMax || f.Profile != nil || f.Report != nil {
		return fmt.Errorf("refusal: %w", ErrInvalid)
	}
	if err := validText("reason", f.Reason, ReasonMax, false); err != nil {
		return err
	}
	return s.hold(f, false)
}

// hold puts a refusal into force until it comes back from the log.
func (s *Store) hold(f Fact, own bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.held[f.ID]; known || s.applied(f.ID) {
		return nil
	}
	if len(s.held) >= heldMax {
		return fmt.Errorf("refusals that wait for the log: %w", ErrFull)
	}
	s.held[f.ID] = heldFact{f, s.cfg.Now(), own}
	s.over.Apply(f)
	s.tell()
	s.nudge()
	return nil
}

// settle forgets a refusal that has come back from the log. s.mu is held.
func (s *Store) settle(id string) {
	if _, ok := s.held[id]; !ok {
		return
	}
	delete(s.held, id)
	s.over = NewState()
	for _, h := range s.held {
		s.over.Apply(h.fact)
	}
}

// deliver writes down what waits, as soon as the log takes it: this node's own, and others' that they have not.
func (s *Store) deliver(ctx context.Context) error {
	tick := time.NewTicker(deliverEvery)
	defer tick.Stop()
	for {
		var due <-chan time.Time // never, as long as nothing waits
		if s.waits() {
			due = tick.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.waiting:
			continue
		case <-due:
		}
		s.sweep()
		facts := s.due()
		if len(facts) > 0 && s.catchUp(ctx) != nil {
			continue // the log is still away
		}
		for _, f := range facts {
			if s.seen(f.ID) { // another node was faster
				continue
			}
			if _, err := s.append(ctx, f.ID, f.Type, func(*State, time.Time) (Fact, error) { return f, nil }); err != nil {
				break
			}
		}
	}
}

// waits reports whether there is anything that deliver is for.
func (s *Store) waits() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.held)+len(s.kept) > 0
}

// due lists what this node should write down now.
func (s *Store) due() (facts []Fact) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.held {
		if h.own || s.cfg.Now().Sub(h.since) >= othersAfter {
			facts = append(facts, h.fact)
		}
	}
	return facts
}
