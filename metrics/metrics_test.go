package metrics

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestNamesPassLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(New("test", "none").registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// The series that other people's dashboards and tests are written against.
func TestContractSeries(t *testing.T) {
	s := New("test", "none")
	s.Members("eu-west", "alive").Set(1)
	s.LinkRTT("eu-west").Set(.08)
	out := scrape(t, s)
	for _, want := range []string{
		`rotunda_members{region="eu-west",state="alive"} 1`, `rotunda_rooms{state="live"}`, "rotunda_listeners ", "rotunda_speakers ",
		`rotunda_joins_total{result="ok"}`, "rotunda_join_seconds_bucket", "rotunda_ingest_packets_total ",
		`rotunda_ingest_dropped_total{reason="muted"}`, `rotunda_cascade_frames_total{direction="out"}`,
		`rotunda_cascade_dropped_total{reason="duplicate"}`, `rotunda_cascade_repaired_total{how="second_path"}`,
		`rotunda_cascade_copies_total`, `rotunda_cascade_taken_total`,
		`rotunda_cascade_link_rtt_seconds{peer_region="eu-west"} 0.08`, `rotunda_cascade_subscriptions{direction="in"}`,
		"rotunda_frame_age_seconds_bucket", "rotunda_program_gap_seconds_bucket", "rotunda_egress_packets_total ",
		"rotunda_egress_lost_ratio ", `rotunda_command_seconds_bucket{command="approve",result="ok"`,
		`rotunda_turn_ratio_bucket{end="time"`, "rotunda_enforcement_seconds_bucket", "rotunda_log_available ", "rotunda_log_mended_total ", "rotunda_log_damaged_total ", "rotunda_reports ", "rotunda_report_age_seconds ", "rotunda_drain_remaining ",
		`rotunda_cert_expiry_timestamp_seconds{cert="node"}`, "rotunda_config_reload_successful ", "rotunda_config_reload_success_timestamp_seconds ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// Whatever is thrown at the labels, the number of series has a bound.
func TestSeriesAreBounded(t *testing.T) {
	s := New("test", "none")
	count := func() int { return strings.Count(scrape(t, s), "\n") }
	flood := func(from int) {
		for i := from; i < from+1000; i++ {
			v := fmt.Sprintf("attacker-%d", i)
			s.Members(v, v).Add(1)
			s.LinkRTT(v).Set(1)
			s.IngestDropped.With(v).Inc()
			s.CommandTime(v, v).Observe(1)
		}
	}
	flood(0)
	first := count()
	flood(1000)
	if again := count(); again != first {
		t.Errorf("%d lines of metrics after 1,000 invented values, %d after 2,000", first, again)
	}
	if !strings.Contains(scrape(t, s), `rotunda_ingest_dropped_total{reason="other"} 2000`) {
		t.Error("invented drop reasons are not counted as other")
	}
}

func TestNilCountsNothing(t *testing.T) {
	var s *Set
	s.Members("r", "alive").Set(1)
	s.LinkRTT("r").Set(1)
	s.CommandTime("mute", "ok").Observe(1)
	var v *CounterVec
	v.With("x").Inc()
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := New("test", "none")
	if n := testing.AllocsPerRun(100, func() {
		s.IngestPackets.Inc()
		s.IngestDropped.With("muted").Inc()
		s.FrameAge.Observe(.01)
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}
