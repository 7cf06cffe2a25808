package rtc

import (
	"testing"
	"time"
)

// A report says how old the sound is that goes out now, whatever the way it has come.
func TestSenderClock(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var c senderClock
	p := queued{payload: make([]byte, 80)}
	var reports int
	for i := range 600 { // twelve seconds
		now := start.Add(time.Duration(i) * 20 * time.Millisecond)
		origin := now.Add(-130 * time.Millisecond)
		p.timestamp, p.origin = uint32(1000+960*i), origin.UnixMicro()
		r := c.sent(now, &p)
		if r == nil {
			continue
		}
		reports++
		if at := fromNTP(r.NTPTime); at.Sub(now).Abs() > time.Microsecond {
			t.Errorf("report at %v says %v", now, at)
		}
		if got, want := r.RTPTime, p.timestamp+48*130; got != want {
			t.Errorf("the sound of now has timestamp %d, want %d: 130 ms after what goes out", got, want)
		}
		if r.PacketCount != uint32(i+1) || r.OctetCount != uint32(80*(i+1)) {
			t.Errorf("report counts %d packets and %d octets after %d packets", r.PacketCount, r.OctetCount, i+1)
		}
	}
	if reports != 3 {
		t.Errorf("%d reports in twelve seconds, want those after 1, 6 and 11 s", reports)
	}
	p.origin = 0
	if r := (&senderClock{next: start}).sent(start, &p); r == nil || r.RTPTime != p.timestamp {
		t.Errorf("sound that begins here: %+v, want timestamp %d", r, p.timestamp)
	}
}
