package control

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// Five people who wait for turns of 60 s get 60 s each, to the second, in the order in which they asked, by the clocks of
// three nodes of which nobody has been told to do anything.
func TestTurnsAreFair(t *testing.T) {
	bubble(t, func(t *testing.T, log *faulty) {
		nodes := []*node{start(t, log, "n1"), start(t, log, "n2"), start(t, log, "n3")}
		id := nodes[0].create("Round")
		for _, n := range nodes {
			_, stop := n.collect(id, 0)
			defer stop()
		}
		var changes []Change
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- nodes[2].Follow(ctx, id, 0, func(c Change) error { changes = append(changes, c); return nil })
		}()
		host := nodes[0].get(id).Host
		do := func(n *node, a room.Actor, cmd room.Command) {
			t.Helper()
			if _, err := n.Do(t.Context(), id, a, cmd); err != nil {
				t.Fatalf("%s: %v", cmd.Name(), err)
			}
		}
		do(nodes[0], room.Actor{System: true}, room.Present{User: host, Node: "n1"})
		var order []rotunda.UserID
		for i := range 5 {
			u := rotunda.UserID(fmt.Sprint("speaker", i))
			do(nodes[i%3], room.Actor{User: u, Name: "Somebody"}, room.Request{})
			order = append(order, u)
		}
		do(nodes[1], room.Actor{User: host}, room.Rotate{Turn: 60})
		time.Sleep(5*time.Minute + 10*time.Second)
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		var had []rotunda.UserID
		for _, c := range changes {
			if c.Before == nil {
				continue
			}
			ratio, end, ok := room.TurnOver(c.Before, c.Event)
			if !ok {
				continue
			}
			had = append(had, c.Event.User)
			if took := 60 * ratio; end != room.TurnTime || took < 59 || took > 61 {
				t.Errorf("the turn of %s took %.2f s, ended by %s; want 60 s, by time", c.Event.User, took, end)
			}
		}
		if fmt.Sprint(had) != fmt.Sprint(order) {
			t.Errorf("%v had turns, want %v", had, order)
		}
		for _, u := range order {
			if r := nodes[1].get(id).Role(u); r.OnStage() {
				t.Errorf("%s is still %s", u, r)
			}
		}
	})
}
