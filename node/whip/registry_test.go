package whip

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// Those that ended first are forgotten, so that what is remembered has an end.
func TestEndedAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for i := range endedMax + 1 {
			b.do("POST", "/v1/rooms/r1/whip", "v=0", ada, sdp)
			b.sessions[i].Close()
			synctest.Wait()
		}
		for id, want := range map[string]int{"s0": 404, "s1": 200, fmt.Sprint("s", endedMax): 200} {
			if w := b.do("DELETE", "/v1/rooms/r1/whip/"+id, "", ada); w.Code != want {
				t.Errorf("%s: status %d, want %d", id, w.Code, want)
			}
		}
	})
}
