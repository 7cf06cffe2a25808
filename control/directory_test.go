package control

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"rotunda"
	"rotunda/control/eventlog"
	"rotunda/control/room"
	"rotunda/metrics"
)

// idOf is the id of the room of that number.
func idOf(i int) rotunda.RoomID { return rotunda.RoomID(fmt.Sprintf("room%06d", i)) }

// crowdedDirectory is a node that knows of so many rooms, half of them live.
func crowdedDirectory(tb testing.TB, rooms int) *Control {
	tb.Helper()
	c := New(Config{Log: new(eventlog.Memory), Node: "a", Metrics: metrics.New("test", "")})
	heads := make([]eventlog.Head, rooms)
	for i := range heads {
		s := room.New("abcdefghij").Summary()
		if s.State = room.Ended; i%2 == 0 {
			s.State = room.Live
		}
		b, err := json.Marshal(s)
		if err != nil {
			tb.Fatal(err)
		}
		heads[i] = eventlog.Head{Room: idOf(i), Position: eventlog.Position{Seq: 1}, Summary: b}
	}
	c.directory.take(c, true, heads)
	return c
}

func scrapeOf(c *Control) string {
	r := httptest.NewRecorder()
	c.cfg.Metrics.Handler().ServeHTTP(r, httptest.NewRequest("GET", "/metrics", nil))
	return r.Body.String()
}

// Fifty thousand rooms have the series of one: they are counted, not listed.
func TestSeriesOfManyRooms(t *testing.T) {
	const many = 50_000
	one, all := scrapeOf(crowdedDirectory(t, 1)), scrapeOf(crowdedDirectory(t, many))
	if a, b := strings.Count(one, "\n"), strings.Count(all, "\n"); a != b {
		t.Errorf("%d lines of metrics with one room, %d with %d", a, b, many)
	}
	if want := fmt.Sprintf(`rotunda_rooms{state="live"} %d`, many/2); !strings.Contains(all, want) {
		t.Errorf("the metrics do not say %s", want)
	}
	if strings.Contains(all, string(idOf(7))) {
		t.Error("a room is named in the metrics")
	}
}

// What a scrape costs a node that knows of fifty thousand rooms.
func BenchmarkScrape(b *testing.B) {
	c := crowdedDirectory(b, 50_000)
	size := 0
	for b.Loop() {
		size = len(scrapeOf(c))
	}
	b.ReportMetric(float64(size), "octets")
}
