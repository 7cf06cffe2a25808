package cascade_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/cascade"
)

// joinOf makes one list of several, without repetitions.
func joinOf(_ []byte, parts [][]byte) ([]byte, bool) {
	all := strings.Fields(string(bytes.Join(parts, []byte(" "))))
	slices.Sort(all)
	return []byte(strings.Join(slices.Compact(all), " ")), true
}

// Whoever asks, on whatever node, hears what all the others say, within the way there and back and once more; a node that
// hangs is missed, and nobody waits for it longer than the time there is; a dead one is missed until the mesh has given it up.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5)
		w.add("us", 2)
		w.add("eu", 4)
		w.add("ap", 2)
		defer w.close()
		w.settle(10 * time.Second)
		sp := w.speak("us-1", program)
		defer sp.end()
		ears, asked := map[rotunda.NodeID]*heard{}, map[rotunda.NodeID]*atomic.Int64{}
		hangs := make(chan struct{})
		var hang atomic.Bool
		for _, id := range w.order[1:] { // the origin itself takes nothing
			ears[id], asked[id] = w.listen(id, program, "us-1"), &atomic.Int64{}
			ears[id].sub.OnAsk(func(question []byte) []byte {
				asked[id].Add(1)
				if id == "eu-3" && hang.Load() {
					<-hangs
				}
				return fmt.Appendf(nil, "%s:%s", id, question)
			})
		}
		defer func() {
			for _, h := range ears {
				h.sub.Close()
			}
		}()
		time.Sleep(7 * time.Second) // paths found and moved to the relay
		ask := func(at rotunda.NodeID, question string, complete bool, within time.Duration, missing ...rotunda.NodeID) {
			t.Helper()
			var want []string
			for _, id := range w.order[1:] {
				if !slices.Contains(missing, id) {
					want = append(want, string(id)+":"+question)
				}
			}
			slices.Sort(want)
			began := time.Now()
			answer, all := ears[at].sub.Ask(context.Background(), []byte(question))
			took := time.Since(began)
			if string(answer) != strings.Join(want, " ") || all != complete || took > within {
				t.Errorf("%s asks %q: %q, complete %t, after %v; want %q, %t, within %v", at, question, answer, all, took, want, complete, within)
			}
			t.Logf("%s has asked %q for %v", at, question, took)
		}
		for i, id := range w.order[1:] {
			ask(id, fmt.Sprint("q", i), true, 5*far) // to the origin and back, twice, by way of a relay
		}
		for id, n := range asked { // whatever number of ways there is to it
			if n.Load() != 7 {
				t.Errorf("%s was asked %d times by 7 nodes", id, n.Load())
			}
		}
		done, before := make(chan string), asked["ap-1"].Load()
		for range 100 {
			go func() {
				answer, _ := ears["eu-2"].sub.Ask(context.Background(), []byte("all-at-once"))
				done <- string(answer)
			}()
		}
		for range 100 {
			if answer := <-done; strings.Count(answer, "all-at-once") != 7 {
				t.Errorf("one of a hundred hears %q", answer)
			}
		}
		if n := asked["ap-1"].Load() - before; n != 1 {
			t.Errorf("a hundred who ask the same are %d questions, want one", n)
		}
		hang.Store(true)
		ask("ap-1", "hung", false, cascade.AskFor, "eu-3")
		hang.Store(false)
		close(hangs)
		ask("ap-1", "well", true, 5*far)
		w.crash("eu-3")
		ask("us-2", "dead", false, cascade.AskFor, "eu-3")
		ears["eu-3"].sub.Close()
		delete(ears, "eu-3")
		time.Sleep(8 * time.Second)
		ask("us-2", "given-up", true, 5*far, "eu-3")
		if n := w.nodes["ap-1"].value(t, `rotunda_cascade_asked_total{result="incomplete"}`); n != 1 {
			t.Errorf("%v incomplete answers are counted at ap-1, want one", n)
		}
		if answer, complete := ears["us-2"].sub.Ask(context.Background(), nil); complete || len(answer) > 0 {
			t.Errorf("a question of nothing: %q, %t", answer, complete)
		}
		w.crash("us-1")
		answer, complete := ears["ap-1"].sub.Ask(context.Background(), []byte("alone"))
		if complete || string(answer) != "ap-1:alone" {
			t.Errorf("without an origin: %q, complete %t", answer, complete)
		}
	})
}
