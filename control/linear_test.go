package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// shaky is a log that answers late, loses answers, keeps what it was asked to keep only later, or is away for a while. All
// of it follows from a seed.
type shaky struct {
	eventlog.Log
	wg sync.WaitGroup // appends that are kept later

	mu     sync.Mutex // guards the rest
	random *rand.Rand
	away   time.Time // until then
}

func (s *shaky) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

// reach waits as long as the way takes, and fails where the log is away until ctx ends.
func (s *shaky) reach(ctx context.Context) error {
	s.mu.Lock()
	wait := time.Duration(s.random.IntN(20)) * time.Millisecond
	if s.random.IntN(60) == 0 {
		s.away = time.Now().Add(time.Duration(s.random.IntN(4000)) * time.Millisecond)
	}
	wait = max(wait, time.Until(s.away))
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, ctx.Err())
	case <-time.After(wait):
		return nil
	}
}

func (s *shaky) Append(ctx context.Context, id roomID, b eventlog.Batch) (eventlog.Position, error) {
	if err := s.reach(ctx); err != nil {
		return eventlog.Position{}, err
	}
	unknown := fmt.Errorf("no answer: %w", eventlog.ErrUnknown)
	switch s.roll(12) {
	case 0: // lost on the way there
		return eventlog.Position{}, unknown
	case 1: // lost on the way back
		_, _ = s.Log.Append(ctx, id, b)
		return eventlog.Position{}, unknown
	case 2: // held up on the way there
		late := time.Duration(s.roll(3000)) * time.Millisecond
		s.wg.Go(func() {
			time.Sleep(late)
			_, _ = s.Log.Append(context.Background(), id, b)
		})
		return eventlog.Position{}, unknown
	}
	return s.Log.Append(ctx, id, b)
}

func (s *shaky) Read(ctx context.Context, id roomID, after eventlog.Position, limit int) ([]eventlog.Entry, eventlog.Position, error) {
	if err := s.reach(ctx); err != nil {
		return nil, eventlog.Position{}, err
	}
	return s.Log.Read(ctx, id, after, limit)
}

func (s *shaky) Follow(ctx context.Context, id roomID, after eventlog.Position, fn func(eventlog.Entry) error) error {
	return s.Log.Follow(ctx, id, after, func(e eventlog.Entry) error {
		if err := s.reach(ctx); err != nil {
			return err
		}
		return fn(e)
	})
}

// asked is a command as a client gave it; a nil command looks.
type asked struct {
	actor room.Actor
	cmd   room.Command
}

// answered is what the client heard.
type answered struct {
	unknown bool
	refused string // which sentinel error, empty: none
	seen    string // what looking has shown
}

var refusals = []error{room.ErrFull, room.ErrNotLive, room.ErrEnded, room.ErrBanned, room.ErrForbidden, room.ErrConflict, room.ErrInvalid}

func refusal(err error) string {
	for _, r := range refusals {
		if errors.Is(err, r) {
			return r.Error()
		}
	}
	return ""
}

// glance is what a client sees of a room: who is on stage, and who waits, in their order.
func glance(s *room.State) string {
	var out []string
	for _, p := range s.Stage() {
		out = append(out, fmt.Sprintf("%s:%s:%v", p.User, p.Role, p.Muted))
	}
	out = append(out, "|")
	for _, q := range s.Queue() {
		out = append(out, string(q.User))
	}
	return strings.Join(out, " ")
}

// model is one room that one person after the other has to do with: room.State itself, without nodes or log.
func model(first *room.State, now time.Time) porcupine.Model {
	type state struct {
		*room.State
		encoded string
	}
	of := func(s *room.State) state {
		b, err := s.Encode()
		if err != nil {
			panic(err)
		}
		return state{s, string(b)}
	}
	return porcupine.Model{
		Init: func() any { return of(first) },
		Step: func(before, input, output any) (bool, any) {
			s, in, out := before.(state), input.(asked), output.(answered)
			if in.cmd == nil {
				return out.unknown || out.seen == glance(s.State), s
			}
			events, err := s.Decide(now, in.actor, in.cmd)
			if err != nil {
				return out.unknown || out.refused == refusal(err), s
			}
			if out.refused != "" {
				return false, s
			}
			next := s.Clone()
			for _, e := range events {
				next.Apply(e)
			}
			return true, of(next)
		},
		Equal: func(a, b any) bool { return a.(state).encoded == b.(state).encoded },
		DescribeOperation: func(input, output any) string {
			in, out := input.(asked), output.(answered)
			return fmt.Sprintf("%s %+v → %+v", in.actor.User, in.cmd, out)
		},
	}
}

// Clients on three nodes ask, approve, step down and look at the same time, over a log that answers late, twice, or not at
// all, while nodes are stopped and started. What they hear is what they could have heard one after the other in a room
// without nodes and without a log.
func TestLinearizable(t *testing.T) {
	histories := 40
	if testing.Short() {
		histories = 8
	}
	if n, err := strconv.Atoi(os.Getenv("ROTUNDA_HISTORIES")); err == nil {
		histories = n
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("ROTUNDA_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seeds from %d", seed)
	count := map[string]int{}
	for i := range histories {
		synctest.Test(t, func(t *testing.T) { oneHistory(t, seed+uint64(i), count) })
		if t.Failed() {
			t.Fatalf("ROTUNDA_SEED=%d", seed+uint64(i))
		}
	}
	t.Logf("%d histories: %v", histories, count)
	if count["unknown"] == 0 || count["refused"] == 0 || count["done"] == 0 {
		t.Errorf("the test does too little: %v", count)
	}
}

func oneHistory(t *testing.T, seed uint64, count map[string]int) {
	const clients, commands = 5, 12
	began := time.Now()
	log := &shaky{Log: new(eventlog.Memory), random: rand.New(rand.NewPCG(seed, 0))}
	defer log.wg.Wait()
	var mu sync.Mutex // guards nodes, history and count
	nodes := make([]*node, 3)
	launched := 0
	launch := func(i int) *node {
		launched++ // a node that starts again draws other ids, as it would with real randomness
		return startWith(t, Config{
			Log: log, Node: rotunda.NodeID(fmt.Sprint("n", i)), Now: func() time.Time { return began },
			Rand: rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%-32s", fmt.Sprint(seed, launched)))),
		})
	}
	for i := range nodes {
		nodes[i] = launch(i)
	}
	places := 3
	maker := &node{Control: New(Config{Log: log.Log, Node: "n0", Now: func() time.Time { return began }}), t: t}
	id, first, err := maker.Create(t.Context(), ada, room.Create{Title: "Talk", Policy: room.PolicyEdit{SpeakersMax: &places}})
	if err != nil {
		t.Fatal(err)
	}
	var history []porcupine.Operation
	client := func(c int) {
		random := rand.New(rand.NewPCG(seed, uint64(c)+1))
		for range commands {
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
			user := rotunda.UserID(fmt.Sprint("user", random.IntN(4)))
			in := asked{actor: room.Actor{User: user}}
			switch random.IntN(6) {
			case 0, 1:
				in.cmd = room.Request{}
			case 2, 3:
				in = asked{ada, room.Approve{User: user}}
			case 4:
				in.cmd = room.SetRole{User: user, Role: rotunda.Listener}
			}
			mu.Lock()
			n := nodes[random.IntN(len(nodes))]
			mu.Unlock()
			op := porcupine.Operation{ClientId: c, Input: in, Call: time.Since(began).Nanoseconds()}
			out, happened := carryOut(t, n, id, in)
			op.Output, op.Return = out, time.Since(began).Nanoseconds()
			if out.unknown {
				op.Return = math.MaxInt64 // it may happen at any time
			}
			mu.Lock()
			switch {
			case !happened:
				count["unavailable"]++
			case out.unknown:
				count["unknown"]++
			case out.refused != "":
				count["refused"]++
			default:
				count["done"]++
			}
			if happened {
				history = append(history, op)
			}
			mu.Unlock()
		}
	}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() { client(c) })
	}
	wg.Go(func() { // nodes stop, in the middle of what they do, and start again
		random := rand.New(rand.NewPCG(seed, 1000))
		for range 2 {
			time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			i := random.IntN(len(nodes))
			mu.Lock()
			old := nodes[i]
			mu.Unlock()
			old.stop()
			mu.Lock()
			nodes[i] = launch(i)
			mu.Unlock()
		}
	})
	wg.Wait()
	// The time of the check is real time, within the bubble's last moment.
	if r := porcupine.CheckOperations(model(first, began), history); !r {
		for _, op := range history {
			t.Logf("%12d %12d client %d: %s", op.Call, op.Return, op.ClientId, model(first, began).DescribeOperation(op.Input, op.Output))
		}
		t.Errorf("seed %d: no order of these commands explains the answers", seed)
	}
}

// carryOut gives a command at a node. happened is false where the node says that nothing has.
func carryOut(t *testing.T, n *node, id roomID, in asked) (out answered, happened bool) {
	cmd := in.cmd
	if cmd == nil {
		in.actor, cmd = ada, room.Start{} // it has nothing to do, so it looks whether its state is the newest
	}
	s, err := n.Do(t.Context(), id, in.actor, cmd)
	switch {
	case err == nil && in.cmd == nil:
		return answered{seen: glance(s)}, true
	case err == nil:
		return answered{}, true
	case errors.Is(err, ErrUnknownOutcome):
		return answered{unknown: true}, true
	case errors.Is(err, ErrUnavailable):
		return answered{}, false
	}
	if refusal(err) == "" {
		t.Errorf("%s: %v", cmd.Name(), err)
	}
	return answered{refused: refusal(err)}, true
}
