package cascade

import (
	"context"
	"math/rand/v2"
	"time"

	"rotunda"
	"rotunda/cascade/ask"
	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// AskMax and AnswerMax are the longest question and the longest answer, in octets.
const (
	AskMax    = wire.AskMax
	AnswerMax = wire.AnswerMax
)

const (
	// AskFor is how long an answer is waited for: the origin gives those below it ask.RoundFor of that, the rest is for the
	// way there and back.
	AskFor = 1500 * time.Millisecond
	// answerers is how many questions are worked on at once.
	answerers = 2
	// jobsMax is how many wait for that; of more, this node has nothing to say.
	jobsMax = 1024
)

// asking is what a Mesh knows of questions. Its fields but the channels are guarded by Mesh.mu.
type asking struct {
	core   *ask.Core
	number uint32 // of the last one who asked here
	asks   map[uint32]chan told
	jobs   []ask.Action  // Own and Join, the oldest first
	work   chan struct{} // capacity answerers; tokens while there are jobs. Never closed
	wake   chan struct{} // capacity 1; a token when NextTimeout may have changed. Never closed
}

type told struct {
	answer   []byte
	complete bool
}

func newAsking(self rotunda.NodeID) asking {
	return asking{core: ask.New(self, rand.Uint32()), asks: map[uint32]chan told{}, work: make(chan struct{}, answerers), wake: make(chan struct{}, 1)}
}

// OnAsk has f called with the questions about the stream, for this node's own part of the answer: at most AnswerMax octets,
// empty for nothing to say. The last subscription of a stream that has set one speaks for the node. f may be called
// concurrently, also while Close runs; it must return within a fraction of a second, or the answer goes without it.
func (s *Subscription) OnAsk(f func(question []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onAsk = f
}

// Ask asks everybody who takes the stream and returns what their answers were joined to (Config.Join), within AskFor or when
// ctx ends. complete is false where a node has not answered in time, or could not be asked: also where there is no way to
// the origin, and then the answer is this node's own. The same question is asked once for all who ask it within a second;
// the answer must not be changed. A question of no octets, or more than AskMax, has no answer.
func (s *Subscription) Ask(ctx context.Context, question []byte) (answer []byte, complete bool) {
	m := s.m
	if len(question) < 1 || len(question) > AskMax {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, AskFor)
	defer cancel()
	now, c := time.Now(), make(chan told, 1)
	m.mu.Lock()
	m.asking.number++
	n := max(m.asking.number, 1) // after four thousand million questions
	m.asking.number = n
	m.asking.asks[n] = c
	m.doAsks(now, m.asking.core.Ask(now, s.key, m.around(s.key), ask.Waiter{Local: n}, question, now.Add(AskFor)))
	m.mu.Unlock()
	var got told
	select {
	case <-ctx.Done():
		m.mu.Lock()
		delete(m.asking.asks, n)
		m.mu.Unlock()
	case got = <-c:
	}
	result := "incomplete"
	if got.complete {
		result = "complete"
	}
	m.metrics.CascadeAsked.With(result).Inc()
	if len(got.answer) == 0 && !got.complete {
		answer, _ = m.ownPart(s.key, question)
		return answer, false
	}
	return got.answer, got.complete
}

// ownPart is what this node says to a question; ok is false if that is too long to be said.
func (m *Mesh) ownPart(k relay.Key, question []byte) (part []byte, ok bool) {
	m.mu.Lock()
	var subs []*Subscription
	if w := m.wants[k]; w != nil {
		subs = w.subs
	}
	m.mu.Unlock()
	for i := len(subs) - 1; i >= 0; i-- {
		subs[i].mu.Lock()
		f := subs[i].onAsk
		subs[i].mu.Unlock()
		if f == nil {
			continue
		}
		if part = f(question); len(part) > AnswerMax {
			return nil, false
		}
		return part, true
	}
	if m.cfg.Answer == nil {
		return nil, true
	}
	if part = m.cfg.Answer(k.Stream.Room, question); len(part) > AnswerMax {
		return nil, false
	}
	return part, true
}

// around is what the table says of a stream's tree around this node. Called with m.mu held.
func (m *Mesh) around(k relay.Key) ask.Around {
	s, a := m.core.Find(k), ask.Around{All: true}
	if s == nil {
		return a
	}
	if up, ok := s.Up(); ok {
		switch l := m.ports[up.Port]; {
		case l == nil:
		case l.Asks():
			a.Up = ask.Peer{Out: up, RTT: l.RTT()}
		default:
			a.Deaf = l.Greeted()
		}
	}
	for _, o := range s.Outs() {
		if l := m.ports[o.Port]; l != nil && l.Asks() {
			a.Down = append(a.Down, ask.Peer{Out: o, RTT: l.RTT()})
		} else {
			a.All = false
		}
	}
	return a
}

// asked takes a question from a neighbour.
func (m *Mesh) asked(port relay.Port, msg wire.Ask, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, from, wait := m.ports[port], relay.Out{Port: port, Alias: msg.Alias}, time.Duration(msg.Wait)*time.Millisecond
	if l == nil {
		return // crossed with the link's end
	}
	s := m.core.Below(port, msg.Alias)
	if msg.Down {
		s = m.core.Above(port, msg.Alias)
	}
	switch {
	case s == nil: // crossed with the subscription's end: whoever was here is asked elsewhere, or not at all
		l.Answer(wire.Answer{Down: !msg.Down, Alias: msg.Alias, ID: msg.ID})
	case msg.Down:
		m.doAsks(now, m.asking.core.Asked(now, s.Key, m.around(s.Key), from, msg))
	default:
		m.doAsks(now, m.asking.core.Ask(now, s.Key, m.around(s.Key), ask.Waiter{Out: from, ID: msg.ID}, msg.Payload, now.Add(min(wait, AskFor))))
	}
}

// answered takes an answer from a neighbour.
func (m *Mesh) answered(port relay.Port, msg wire.Answer, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := relay.Out{Port: port, Alias: msg.Alias}
	if msg.Down {
		m.doAsks(now, m.asking.core.Answered(now, msg.ID, from, msg.Payload, msg.Complete))
	} else {
		m.doAsks(now, m.asking.core.Part(now, msg.ID, from, msg.Payload, msg.Complete))
	}
}

// doAsks does what the table of questions decided. Called with m.mu held; nothing in it blocks.
func (m *Mesh) doAsks(now time.Time, actions []ask.Action) {
	for len(actions) > 0 {
		a := actions[0]
		actions = actions[1:]
		switch a.Kind {
		case ask.Send:
			m.sendAsk(a)
		case ask.Own:
			if len(m.asking.jobs) >= jobsMax {
				actions = append(actions, m.asking.core.Part(now, a.Round, relay.Out{}, nil, false)...)
				continue
			}
			m.asking.jobs = append(m.asking.jobs, a)
			token(m.asking.work)
		case ask.Join: // one for a round at most, so bounded
			m.asking.jobs = append(m.asking.jobs, a)
			token(m.asking.work)
		case ask.Tell:
			if c := m.asking.asks[a.Local]; c != nil {
				delete(m.asking.asks, a.Local)
				c <- told{a.Answer, a.Complete}
			}
		case ask.Resume:
			actions = append(actions, m.asking.core.Resume(now, a.Key, m.around(a.Key))...)
		default:
			panic("cascade: unknown action of a question")
		}
	}
	token(m.asking.wake)
}

// sendAsk queues a question or an answer; what cannot be queued is waited for in vain, and no longer than anything else.
// Called with m.mu held.
func (m *Mesh) sendAsk(a ask.Action) {
	l := m.ports[a.Out.Port]
	if l == nil {
		return
	}
	switch msg := a.Message.(type) {
	case wire.Ask:
		l.Ask(msg)
	case wire.Answer:
		l.Answer(msg)
	default:
		panic("cascade: neither a question nor an answer")
	}
}

// awaitAnswers gives up what does not come in time.
func (m *Mesh) awaitAnswers(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.asking.wake:
		case <-timer.C:
			now := time.Now()
			m.mu.Lock()
			m.doAsks(now, m.asking.core.Expire(now))
			m.mu.Unlock()
		}
		m.mu.Lock()
		next := m.asking.core.NextTimeout()
		m.mu.Unlock()
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// answerQuestions works on questions, one at a time.
func (m *Mesh) answerQuestions(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.asking.work:
		}
		for {
			m.mu.Lock()
			jobs := m.asking.jobs
			if len(jobs) == 0 {
				m.asking.jobs = nil
				m.mu.Unlock()
				break
			}
			m.asking.jobs = jobs[1:]
			m.mu.Unlock()
			m.work(jobs[0])
		}
	}
}

func (m *Mesh) work(a ask.Action) {
	var answer []byte
	ok := false
	if a.Kind == ask.Own {
		answer, ok = m.ownPart(a.Key, a.Question)
	} else if m.cfg.Join != nil {
		if answer, ok = m.cfg.Join(a.Question, a.Parts); len(answer) > AnswerMax {
			answer, ok = nil, false
		}
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.Kind == ask.Own {
		m.doAsks(now, m.asking.core.Part(now, a.Round, relay.Out{}, answer, ok))
	} else {
		m.doAsks(now, m.asking.core.Joined(now, a.Round, answer, ok))
	}
}
