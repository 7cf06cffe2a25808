package edge

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"rotunda"
)

// minutePacket is packet i of a program in which one of the speakers is heard.
func minutePacket(i int, by ...rotunda.SSRC) Packet {
	return Packet{
		Sequence: uint16(i), Timestamp: uint32(i) * rotunda.FrameTicks, Sources: rotunda.SourcesOf(by...), Origin: int64(i) * 20_000,
		Payload: []byte(fmt.Sprintf("packet %6d", i)),
	}
}

var ringEpoch = time.Unix(1_700_000_000, 0)

func whenSaid(i int) time.Time { return ringEpoch.Add(time.Duration(i) * rotunda.FrameDuration) }

func readAll(r *Ring, since time.Time) (kept []Kept) {
	for n, ok := uint64(0), true; ok; {
		kept, n, ok = r.Read(kept, n, since)
	}
	return kept
}

func TestRingKeepsAMinute(t *testing.T) {
	var r Ring
	const packets = 200 * 50
	for i := range packets {
		p := minutePacket(i, 7, 8)
		r.Push(whenSaid(i), &p)
		clear(p.Payload) // it is the caller's again
	}
	now := whenSaid(packets)
	for _, last := range []time.Duration{0, 20 * time.Millisecond, 10 * time.Second, RewindMax} {
		kept := Replay(readAll(&r, now.Add(-last)))
		want := int(last / rotunda.FrameDuration)
		if len(kept) != want {
			t.Fatalf("the last %v are %d packets, want %d", last, len(kept), want)
		}
		for i, k := range kept {
			p := minutePacket(packets-want+i, 7, 8)
			if !bytes.Equal(k.Payload, p.Payload) || k.Origin != p.Origin || !k.At.Equal(whenSaid(packets-want+i)) || k.Timestamp != uint32(i*rotunda.FrameTicks) {
				t.Fatalf("packet %d of the last %v is %+v", i, last, k)
			}
		}
	}
	if r.Over(now.Add(RewindMax)) || !r.Over(now.Add(RewindMax+3*time.Second)) {
		t.Error("a ring is over a minute after its last packet, and not before")
	}
}

// Whatever comes, a ring takes no more than it may, and once it has grown it allocates nothing.
func TestRingIsBounded(t *testing.T) {
	var r Ring
	big := Packet{Sources: rotunda.SourcesOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), Payload: make([]byte, rotunda.PayloadMax)}
	push := func(i int) {
		big.Timestamp = uint32(i) * rotunda.FrameTicks
		r.Push(whenSaid(i/10), &big) // ten times as many as there should be
	}
	for i := range 100_000 {
		push(i)
	}
	size, i := 0, 100_000
	for j := range r.pieces {
		size += cap(r.pieces[j].bytes) + cap(r.pieces[j].entries)*32
	}
	if size > RingBytesMax {
		t.Errorf("a ring takes %d bytes, want at most %d", size, RingBytesMax)
	}
	if n := testing.AllocsPerRun(5000, func() { push(i); i++ }); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if kept := readAll(&r, time.Time{}); len(kept) > piecesMax*pieceLen || len(kept) == 0 {
		t.Errorf("%d packets kept", len(kept))
	}
}

// What somebody said who was removed is not handed out again, and not kept when it arrives late; later they may have come back.
func TestRingWithholds(t *testing.T) {
	var r Ring
	const removed = 9
	by := func(i int) rotunda.SSRC {
		if i%4 == 1 {
			return removed
		}
		return 5
	}
	for i := range 100 {
		p := minutePacket(i, 3, by(i))
		r.Push(whenSaid(i), &p)
	}
	r.Withhold(whenSaid(100), removed)
	for i := 100; i < 300; i++ {
		p := minutePacket(i, 3, by(i))
		r.Push(whenSaid(i), &p)
	}
	until := whenSaid(100).Add(withheldFor)
	n := 0
	for _, k := range readAll(&r, time.Time{}) {
		i := int(k.Origin / 20_000)
		if by(i) == removed && !k.At.After(until) {
			t.Errorf("packet %d is handed out", i)
		}
		n++
	}
	if want := 300 - 25 - 13; n != want { // of the 51 packets until the end of that second 13
		t.Errorf("%d packets handed out, want %d", n, want)
	}
	for i := range r.pieces {
		for _, e := range r.pieces[i].entries {
			if b := r.pieces[i].bytes[int(e.start)+8:]; e.length == 0 && !bytes.Equal(b[:13], make([]byte, 13)) {
				t.Errorf("withheld sound is still in memory: %q", b[:13])
			}
		}
	}
}

// Packets that were overtaken find their place, timestamps may wrap, and a long pause is made short.
func TestReplay(t *testing.T) {
	const f = rotunda.FrameTicks
	start := ^uint32(0) - f // the third packet is behind the wrap
	kept := []Kept{{Timestamp: start}, {Timestamp: start + 2*f}, {Timestamp: start + f}, {Timestamp: start + 3*f}, {Timestamp: start + 3*f + 30*rotunda.ClockRate}}
	for i, k := range Replay(kept) {
		if want := []uint32{0, f, 2 * f, 3 * f, 3*f + rotunda.ClockRate}[i]; k.Timestamp != want {
			t.Errorf("packet %d at %d, want %d", i, k.Timestamp, want)
		}
	}
	if len(Replay(nil)) != 0 {
		t.Error("nothing becomes something")
	}
}
