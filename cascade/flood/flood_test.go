package flood_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"rotunda"
	"rotunda/cascade/flood"
	"rotunda/cascade/wire"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func numbered(n int) wire.Flood {
	return wire.Flood{Kind: 1, Payload: binary.BigEndian.AppendUint32(nil, uint32(n))}
}

// A message is news once, whoever brings it and however often, and to whoever began it never.
func TestNewsOnce(t *testing.T) {
	c := flood.New()
	m, ok := c.Start(start, 1, []byte("x"))
	if !ok || m.Hops != 0 {
		t.Fatalf("Start = %v, %v", m, ok)
	}
	if _, ok := c.Start(start, 1, []byte("x")); ok {
		t.Error("the same message begins twice")
	}
	if _, _, d := c.Arrive(start, 1, m); d != flood.DropDuplicate {
		t.Errorf("my own message comes back: %q", d)
	}
	other := wire.Flood{Kind: 2, Payload: []byte("x")} // another kind is another message
	next, further, d := c.Arrive(start, 1, other)
	if d != "" || !further || next.Hops != 1 || !bytes.Equal(next.Payload, other.Payload) {
		t.Errorf("Arrive = %v, %v, %q; want the message with one hop", next, further, d)
	}
	if _, _, d := c.Arrive(start, 2, other); d != flood.DropDuplicate {
		t.Errorf("from a second neighbour: %q, want duplicate", d)
	}
}

// The last hop hears a message and hands it on to nobody.
func TestHops(t *testing.T) {
	c := flood.New()
	m := numbered(1)
	m.Hops = rotunda.HopsMax - 1
	if next, further, d := c.Arrive(start, 1, m); d != "" || !further || next.Hops != rotunda.HopsMax {
		t.Errorf("after %d hops: %d, %v, %q; want on", m.Hops, next.Hops, further, d)
	}
	m = numbered(2)
	m.Hops = rotunda.HopsMax
	if _, further, d := c.Arrive(start, 1, m); d != "" || further {
		t.Errorf("after %d hops: further %v, %q; want news and the end", m.Hops, further, d)
	}
	for _, r := range c.Recent(start) {
		if r.Hops > rotunda.HopsMax {
			t.Errorf("a newcomer would be told of a message of %d hops", r.Hops)
		}
	}
}

// One neighbour that sends too much loses its own messages; another one's pass.
func TestRate(t *testing.T) {
	c := flood.New()
	news, dropped := 0, 0
	for i := range 10 * flood.Burst {
		switch _, _, d := c.Arrive(start, 1, numbered(i)); d {
		case "":
			news++
		case flood.DropRate:
			dropped++
		}
	}
	if news != flood.Burst || dropped != 9*flood.Burst {
		t.Errorf("%d news and %d dropped, want %d and %d", news, dropped, flood.Burst, 9*flood.Burst)
	}
	if _, _, d := c.Arrive(start, 2, numbered(1_000_000)); d != "" {
		t.Errorf("another neighbour's message: %q", d)
	}
	if _, _, d := c.Arrive(start.Add(time.Second), 1, numbered(1_000_001)); d != "" {
		t.Errorf("a second later: %q", d)
	}
	c.Gone(1)
	own := 0
	for i := range 10 * flood.OwnBurst {
		if _, ok := c.Start(start, 2, numbered(i).Payload); ok {
			own++
		}
	}
	if own != flood.OwnBurst {
		t.Errorf("%d messages of my own at once, want %d", own, flood.OwnBurst)
	}
}

// An hour of the highest rate leaves no more behind than a minute; a newcomer is told of the last minute.
func TestBounded(t *testing.T) {
	c := flood.New()
	now := start
	for i := range 3600 * 10 {
		now = now.Add(100 * time.Millisecond)
		m := numbered(i)
		m.Payload = append(m.Payload, make([]byte, 8<<10)...)
		if _, _, d := c.Arrive(now, 1, m); d != "" {
			t.Fatalf("message %d: %q", i, d)
		}
	}
	recent, octets := c.Recent(now), 0
	for _, m := range recent {
		octets += len(m.Payload)
	}
	if len(recent) == 0 || len(recent) > flood.RecentMax || octets > flood.RecentBytes {
		t.Errorf("%d messages of %d octets are kept", len(recent), octets)
	}
	if n := len(c.Recent(now.Add(flood.RecentFor + time.Second))); n != 0 {
		t.Errorf("%d messages are kept after their time", n)
	}
}
