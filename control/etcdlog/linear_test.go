package etcdlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

// try is what a client asked the log: to append one record after a position, or, without an id, where the chain ends.
type try struct {
	after eventlog.Position
	id    string
}

type result struct {
	unknown, conflict bool
	end               eventlog.Position // what a look has shown
}

// register is a room's chain as one position that is compared and set.
func register(room string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return eventlog.Position{} },
		Step: func(before, input, output any) (bool, any) {
			at, in, out := before.(eventlog.Position), input.(try), output.(result)
			switch {
			case in.id == "":
				return out.unknown || out.end == at, at
			case in.after != at:
				return out.conflict || out.unknown, at
			case out.conflict:
				return false, at
			}
			_, end := eventlog.Batch{After: at, Records: eventlogtest.Records(in.id)}.Entries(rotunda.RoomID(room))
			return true, end
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	}
}

// Clients at the three members of a cluster append and look while leaders are killed and started again: what they hear is
// what one after the other would have heard of one chain.
func TestLinearizableWhileLeadersDie(t *testing.T) {
	if testing.Short() {
		t.Skip("kills members of a cluster")
	}
	t.Parallel() // most of it is waiting
	kills := 2
	if n, err := strconv.Atoi(os.Getenv("ROTUNDA_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("ROTUNDA_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("seed %d", seed)
	c := newCluster(t, 3)
	logs := c.open(t)
	const room = "contested"
	began := time.Now()
	var mu sync.Mutex // guards logs and history
	var history []porcupine.Operation
	done := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(20+random.IntN(60)) * time.Millisecond):
				}
				mu.Lock()
				l := logs[random.IntN(len(logs))]
				mu.Unlock()
				look := porcupine.Operation{ClientId: client, Input: try{}, Call: time.Since(began).Nanoseconds()}
				end, ok := head(t, l, room)
				look.Output, look.Return = result{end: end}, time.Since(began).Nanoseconds()
				if !ok {
					continue // nobody answered, and nothing has happened
				}
				in := try{after: end, id: fmt.Sprintf("%d-%d", client, i)}
				op := porcupine.Operation{ClientId: client, Input: in, Call: time.Since(began).Nanoseconds()}
				out, happened := tryAppend(t, l, room, in)
				if op.Output, op.Return = out, time.Since(began).Nanoseconds(); out.unknown {
					op.Return = math.MaxInt64 // it may happen at any time
				}
				mu.Lock()
				history = append(history, look)
				if happened {
					history = append(history, op)
				}
				mu.Unlock()
			}
		})
	}
	for range kills {
		time.Sleep(time.Second)
		mu.Lock()
		current := append([]*Log{}, logs...)
		mu.Unlock()
		for i, l := range current {
			if l.server.Server.Leader() != l.server.Server.MemberID() {
				continue
			}
			l.server.Server.HardStop() // no hand-over: every connection breaks
			l.Close()
			again := open(t, c.configs[i])
			mu.Lock()
			logs[i] = again
			mu.Unlock()
			break
		}
	}
	eventually(t, "appends after the last kill", func() error {
		if _, ok := head(t, logs[0], room); !ok {
			return errors.New("no answer")
		}
		return nil
	})
	time.Sleep(500 * time.Millisecond)
	close(done)
	wg.Wait()
	conflicts, kept, unknown := 0, 0, 0
	for _, op := range history {
		switch out := op.Output.(result); {
		case out.unknown:
			unknown++
		case out.conflict:
			conflicts++
		case op.Input.(try).id != "":
			kept++
		}
	}
	t.Logf("%d kills: %d appends kept, %d conflicts, %d unknown, %d calls", kills, kept, conflicts, unknown, len(history))
	if kept < 20 {
		t.Errorf("only %d appends", kept)
	}
	if r := porcupine.CheckOperationsTimeout(register(room), history, 20*time.Second); r != porcupine.Ok {
		t.Errorf("seed %d: the check says %v", seed, r)
	}
	r, err := eventlog.Verify(t.Context(), logs[0], room)
	if err != nil || r.Err != nil || int(r.End.Seq) < kept || int(r.End.Seq) > kept+unknown {
		t.Errorf("verify: %+v, %v; %d appends were acknowledged and %d may be there", r, err, kept, unknown)
	}
}

func head(t *testing.T, l *Log, room rotunda.RoomID) (eventlog.Position, bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	p, err := l.Head(ctx, room)
	if err != nil && !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("head: %v", err)
	}
	return p, err == nil
}

// tryAppend appends once. happened is false where the log says that nothing has.
func tryAppend(t *testing.T, l *Log, room rotunda.RoomID, in try) (out result, happened bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	_, err := l.Append(ctx, room, eventlog.Batch{After: in.after, Records: eventlogtest.Records(in.id)})
	switch {
	case err == nil:
		return result{}, true
	case errors.Is(err, eventlog.ErrConflict):
		return result{conflict: true}, true
	case errors.Is(err, eventlog.ErrUnknown):
		return result{unknown: true}, true
	case !errors.Is(err, eventlog.ErrUnavailable):
		t.Errorf("append: %v", err)
	}
	return result{}, false
}
