package egress

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"rotunda"
	"rotunda/metrics"
	"rotunda/node/edge"
	"rotunda/node/egress/srtp"
	"rotunda/node/opus/packet"
)

// Everybody in a room hears all of it and nothing else, whatever their keys; small rooms stay on one shard, large ones do not.
func TestEverybodyHears(t *testing.T) {
	s, w := still(t, nil, 2)
	rooms := [2]*Room{s.Room(), s.Room()}
	var ears [2][]*ear
	for i := range 150 {
		p := srtp.GCM
		if i%5 == 0 {
			p = srtp.CM80
		}
		ears[0] = append(ears[0], join(t, s, w, rooms[0], offered(), p))
	}
	ears[1] = append(ears[1], join(t, s, w, rooms[1], offered(), srtp.GCM))
	s.work()
	for i := 100; i < 105; i++ {
		rooms[0].Program(time.Now(), speech(i))
		rooms[1].Program(time.Now(), speech(i+1000))
		s.work()
	}
	for r, list := range ears {
		for k, e := range list {
			got := e.got()
			if len(got) != 5 {
				t.Fatalf("room %d, listener %d: %d packets, want 5", r, k, len(got))
			}
			for i, p := range got {
				want := speech(100 + i + 1000*r)
				if p.seq != want.Sequence || p.ts != want.Timestamp || p.pt != 111 || p.sources != 1 || p.level != int(want.Level) || !bytes.Equal(p.payload, want.Payload) {
					t.Fatalf("room %d, listener %d: %+v, want %+v", r, k, p, want)
				}
			}
		}
	}
	if a, b := s.shards[0].sessions.Load(), s.shards[1].sessions.Load(); a < 40 || b < 40 {
		t.Errorf("%d and %d sessions on the shards", a, b)
	}
}

// A newcomer hears the newest packet at once.
func TestGreeting(t *testing.T) {
	s, w := still(t, nil, 1)
	r := s.Room()
	r.Program(time.Now(), speech(7))
	e := join(t, s, w, r, offered(), srtp.GCM)
	s.work()
	if got := e.got(); len(got) != 1 || got[0].seq != 7 {
		t.Fatalf("%+v", got)
	}
	r.Program(time.Now(), speech(8))
	s.work()
	if got := e.got(); len(got) != 1 || got[0].seq != 8 {
		t.Fatalf("%+v", got)
	}
}

// Who has ended, or has been silent for too long, is sent nothing; the silent one goes on when it is heard again.
func TestSilence(t *testing.T) {
	s, w := still(t, nil, 1)
	r := s.Room()
	e, gone := join(t, s, w, r, offered(), srtp.GCM), join(t, s, w, r, offered(), srtp.GCM)
	s.work()
	e.n.heard.Store(time.Now().Add(-pausedAfter - time.Second).UnixNano())
	gone.n.Close()
	r.Program(time.Now(), speech(1))
	s.work()
	if got := e.got(); len(got) != 0 {
		t.Errorf("%d packets to a client that is silent", len(got))
	}
	if got := gone.got(); len(got) != 0 {
		t.Errorf("%d packets to a session that has ended", len(got))
	}
	e.n.heard.Store(time.Now().UnixNano())
	r.Program(time.Now(), speech(2))
	s.work()
	if got := e.got(); len(got) != 1 {
		t.Errorf("%d packets to a client that is heard again, want 1", len(got))
	}
	<-gone.n.Done()
	e.n.heard.Store(time.Now().Add(-goneAfter - time.Second).UnixNano())
	s.sweep(time.Now())
	s.work()
	<-e.n.Done()
	if len(s.sessions)+len(s.byAddress)+len(s.byFragment) != 0 || r.listeners.Load() != 0 || s.pending.Load() != 0 || r.taken(singleFrames) != 0 {
		t.Errorf("something is left: %d %d %d %d %d", len(s.sessions), len(s.byAddress), len(s.byFragment), r.listeners.Load(), s.pending.Load())
	}
}

// framesOf takes a payload apart into the numbers that speech has put into its frames.
func framesOf(t *testing.T, p gotPacket) (numbers []int) {
	t.Helper()
	info, err := packet.Parse(p.payload)
	if err != nil {
		t.Fatalf("%x: %v", p.payload, err)
	}
	for i := range info.Frames {
		b := p.payload[len(p.payload)-7*(info.Frames-i):]
		n, err := strconv.Atoi(string(b[:7]))
		if err != nil {
			t.Fatalf("%x: %v", p.payload, err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// A room grows and shrinks, listeners come, go, lose packets and recover: each hears every frame once and in order, with numbers
// that have no hole, and as few packets as its offer and its network allow.
func TestRenditions(t *testing.T) {
	s, w := still(t, nil, 2)
	r := s.Room()
	any, short, lossy := join(t, s, w, r, offered(), srtp.GCM), join(t, s, w, r, offered("a=maxptime:20"), srtp.GCM), join(t, s, w, r, offered(), srtp.GCM)
	ears := map[*ear]*struct {
		next    int
		seq     uint16
		packets int
		most    int // frames in one packet
		red     int
	}{any: {}, short: {}, lossy: {}}
	i := 1000
	play := func(frames int) {
		for range frames {
			r.Program(time.Now(), speech(i))
			i++
			s.work()
		}
		for e, h := range ears {
			h.packets, h.most, h.red = 0, 0, 0
			for _, p := range e.got() {
				if h.next != 0 && p.seq != h.seq+1 {
					t.Fatalf("number %d after %d", p.seq, h.seq)
				}
				h.seq = p.seq
				h.packets++
				if p.pt == 63 {
					h.red++
					for p.payload[0]&0x80 != 0 { // the blocks before the frame
						size := int(p.payload[2]&3)<<8 | int(p.payload[3])
						p.payload = cutBlock(p.payload[4:], size)
					}
					p.payload = p.payload[1:]
				}
				numbers := framesOf(t, p)
				h.most = max(h.most, len(numbers))
				if p.ts != uint32(numbers[0])*rotunda.FrameTicks {
					t.Fatalf("frame %d has timestamp %d", numbers[0], p.ts)
				}
				for _, n := range numbers {
					if h.next != 0 && n != h.next {
						t.Fatalf("frame %d, want %d", n, h.next)
					}
					h.next = n + 1
				}
			}
		}
	}
	want := func(e *ear, what string, packets, most, red int) {
		t.Helper()
		if h := ears[e]; h.packets < packets-1 || h.packets > packets+1 || h.most != most || h.red != red {
			t.Errorf("%s: %d packets of up to %d frames, %d of them redundant; want %d, %d, %d", what, h.packets, h.most, h.red, packets, most, red)
		}
	}
	s.work()
	play(60)
	want(any, "a small room", 60, 1, 0)
	var crowd []*Session
	grow := func(to int) {
		for int(r.listeners.Load()) < to {
			n, _, err := s.Play(t.Context(), r, offered())
			if err != nil {
				t.Fatal(err)
			}
			crowd = append(crowd, n)
		}
		for int(r.listeners.Load()) > to {
			crowd[len(crowd)-1].Close()
			crowd = crowd[:len(crowd)-1]
			s.work()
		}
	}
	grow(twoFrom)
	play(6) // to the next group
	play(60)
	want(any, "a large room", 30, 2, 0)
	want(short, "one who takes 20 ms only", 60, 1, 0)
	grow(threeFrom)
	play(6)
	play(60)
	want(any, "a very large room", 20, 3, 0)
	lossy.n.lossy.Store(true)
	r.changes.Add(1)
	play(6)
	play(60)
	want(lossy, "one who loses packets", 60, 1, 60)
	want(any, "the others", 20, 3, 0)
	late := join(t, s, w, r, offered(), srtp.GCM)
	ears[late] = &struct {
		next    int
		seq     uint16
		packets int
		most    int
		red     int
	}{}
	s.work()
	late.got() // the greeting, which is before the first group
	lossy.n.lossy.Store(false)
	r.changes.Add(1)
	play(6)
	play(60)
	want(lossy, "one who loses none any more", 20, 3, 0)
	want(late, "a newcomer", 20, 3, 0)
	grow(threeDown)
	play(60)
	want(any, "hysteresis", 20, 3, 0)
	grow(threeDown - 1)
	play(6)
	play(60)
	want(any, "back to two", 30, 2, 0)
	grow(10)
	play(6)
	play(60)
	want(any, "back to one", 60, 1, 0)
}

// cutBlock takes the data of the first block out of what follows its header, where all headers and then all data come.
func cutBlock(rest []byte, size int) []byte {
	heads := 0
	for rest[heads]&0x80 != 0 {
		heads += 4
	}
	heads++
	return append(append([]byte(nil), rest[:heads]...), rest[heads+size:]...)
}

// A packet that is missed is sent again, the same to the bit; what was of another rendition is not.
func TestAgain(t *testing.T) {
	m := metrics.New("test", "none")
	s, w := still(t, m, 1)
	r := s.Room()
	e := join(t, s, w, r, offered(), srtp.GCM)
	s.work()
	first := map[uint16][]byte{}
	for i := range 10 {
		r.Program(time.Now(), speech(50+i))
		s.work()
	}
	for _, p := range e.got() {
		first[p.seq] = p.encrypted
	}
	ask := func(pid, also uint16) [][]byte {
		t.Helper()
		report := []byte{0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, byte(pid >> 8), byte(pid), byte(also >> 8), byte(also)}
		ssrc := e.n.tracks[0].ssrc
		report[8], report[9], report[10], report[11] = byte(ssrc>>24), byte(ssrc>>16), byte(ssrc>>8), byte(ssrc)
		sealed, err := e.own.EncryptRTCP(nil, report, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.received(time.Now(), sealed, e.at)
		s.work()
		return w.take(e.at)
	}
	got := ask(53, 0b101)
	if len(got) != 3 {
		t.Fatalf("%d packets, want 53, 54 and 56", len(got))
	}
	for i, seq := range []uint16{53, 54, 56} {
		if !bytes.Equal(got[i], first[seq]) {
			t.Errorf("packet %d is not the same again", seq)
		}
	}
	if got := ask(49, 0); len(got) != 0 {
		t.Error("a packet was sent again that had never been sent")
	}
	e.n.lossy.Store(true)
	r.changes.Add(1)
	for i := range 3 {
		r.Program(time.Now(), speech(60+i))
		s.work()
	}
	e.n.lossy.Store(false)
	r.changes.Add(1)
	for i := range 3 {
		r.Program(time.Now(), speech(63+i))
		s.work()
	}
	e.got()
	for seq, want := range map[uint16]int{58: 0, 60: 0, 62: 0, 63: 1, 65: 1} {
		if got := ask(seq, 0); len(got) != want {
			t.Errorf("packet %d: %d again, want %d", seq, len(got), want)
		}
	}
	for range 10 {
		ask(63, 0xffff)
	}
	if got := ask(63, 0); len(got) != 0 {
		t.Error("there is no end to what is sent again")
	}
}

// The whole way of a packet, from the room to the socket, allocates nothing: single frames, merged and redundant ones, reports.
func TestFanOutAllocatesNothing(t *testing.T) {
	s, w := still(t, metrics.New("test", "none"), 1)
	r := s.Room()
	for i := range 60 {
		e := join(t, s, w, r, offered(), []srtp.Profile{srtp.GCM, srtp.CM80}[i%2])
		e.n.lossy.Store(i%4 == 0)
	}
	for range threeFrom {
		if _, _, err := s.Play(t.Context(), r, offered()); err != nil {
			t.Fatal(err)
		}
	}
	r.changes.Add(1)
	w.silent = true
	p, i, now := speech(1), 1, time.Now()
	p.Payload = make([]byte, 100)
	p.Payload[0] = 0x78
	step := func() {
		i++
		p.Sequence, p.Timestamp = uint16(i), uint32(i)*rotunda.FrameTicks
		now = now.Add(rotunda.FrameDuration)
		r.Program(now, p)
		s.work()
	}
	for range 2 * queueLen { // until every buffer has been used
		step()
	}
	if r.taken(mergedFrames) == 0 || r.taken(redundant) == 0 {
		t.Fatal("not all kinds of packets are sent")
	}
	if n := testing.AllocsPerRun(300, step); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

func TestFramesFor(t *testing.T) {
	for _, c := range []struct{ listeners, now, want int }{
		{0, 1, 1}, {499, 1, 1}, {500, 1, 2}, {499, 2, 2}, {400, 2, 2}, {399, 2, 1}, {1000, 2, 3}, {1000, 1, 3}, {800, 3, 3}, {799, 3, 2}, {399, 3, 1}, {850, 2, 2},
	} {
		if got := framesFor(c.listeners, c.now); got != c.want {
			t.Errorf("framesFor(%d, %d) = %d, want %d", c.listeners, c.now, got, c.want)
		}
	}
}

// The shard's queue drops the oldest, and its places keep what was popped.
func TestQueue(t *testing.T) {
	var q queue
	var j job
	if q.pop(&j) {
		t.Error("something in an empty queue")
	}
	payload := []byte{0}
	for i := range queueLen + 3 {
		payload[0] = byte(i)
		if dropped := q.push(jobFor{track: i % 4}, time.Time{}, &edge.Packet{Sequence: uint16(i), Payload: payload}); dropped != (i >= queueLen) {
			t.Errorf("push %d: dropped %v", i, dropped)
		}
	}
	for i := 3; i < queueLen+3; i++ { // the oldest three are gone
		if !q.pop(&j) || j.sequence != uint16(i) || j.track != i%4 || j.payload[0] != byte(i) {
			t.Errorf("pop: %+v, want number %d", j, i)
		}
	}
	if q.pop(&j) {
		t.Error("more than was put in")
	}
	q.push(jobFor{}, time.Time{}, &edge.Packet{Payload: []byte{1, 2}})
	q.pop(&j)
	q.push(jobFor{}, time.Time{}, &edge.Packet{Payload: []byte{3, 4}})
	if string(j.payload) != "\x01\x02" {
		t.Errorf("a packet changed under its reader: %x", j.payload)
	}
}
