package node

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rotunda"
	"rotunda/metrics"
)

// Who is muted and opens their microphone again at once is heard again; that is not how long the decision took.
func TestHeardAgainIsNotCounted(t *testing.T) {
	e := &enforcement{metrics: metrics.New("", "")}
	decided := time.Unix(1_700_000_000, 0)
	begin := func(ssrc uint32) {
		e.begin(&watch{user: rotunda.UserID(fmt.Sprint("user", ssrc)), ssrc: rotunda.SSRC(ssrc), decided: decided, until: decided.Add(enforceFor)})
	}
	begin(1)
	begin(2)
	e.voice(decided.Add(40*time.Millisecond), 1)
	e.finish(decided.Add(300*time.Millisecond), "user1")
	e.voice(decided.Add(320*time.Millisecond), 1)
	e.voice(decided.Add(60*time.Millisecond), 2)
	e.settle(decided.Add(500 * time.Millisecond))
	if list := e.watches.Load(); list == nil || len(*list) != 1 {
		t.Fatal("the other measurement is over too")
	}
	e.settle(decided.Add(enforceFor))
	e.finish(decided.Add(enforceFor), "user2") // nothing is left
	w := httptest.NewRecorder()
	e.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"rotunda_enforcement_seconds_sum 0.1\n", "rotunda_enforcement_seconds_count 2\n"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
