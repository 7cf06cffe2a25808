package bench

// tally counts one RTP stream by its sequence numbers, as RFC 3550 appendix A.1 and A.3 do. The zero value is ready.
type tally struct {
	begun       bool
	first, high int64  // extended sequence numbers
	window      uint64 // bit i: high-i came
	received    int64  // since first, each once
	before      counts // of numberings that ended in a jump

	expectedThen, receivedThen int64 // at the last receiver report
}

// counts is what became of packets.
type counts struct{ expected, received, duplicate, reordered int64 }

const (
	seqBase = 1 << 16 // keeps what comes just before the first packet above zero
	jumpMax = 3000    // a jump beyond this is another numbering and no loss (RFC 3550 §A.1)
)

// take counts a packet; it is false for one that came before or is older than the window tells.
func (t *tally) take(seq uint16) bool {
	if !t.begun {
		t.begin(seq)
		return true
	}
	ahead := int64(int16(seq - uint16(t.high)))
	switch {
	case ahead > jumpMax || ahead < -jumpMax:
		t.before.expected += t.high - t.first + 1
		t.before.received += t.received
		t.begin(seq)
		return true
	case ahead > 0:
		t.window = t.window<<ahead | 1
		t.high += ahead
		t.received++
		return true
	}
	bit := uint64(1) << -ahead // 0 from 64 on
	switch {
	case t.window&bit != 0:
		t.before.duplicate++
		return false
	case bit == 0 || t.high+ahead < t.first:
		return false
	}
	t.window |= bit
	t.received++
	t.before.reordered++
	return true
}

func (t *tally) begin(seq uint16) {
	t.begun, t.first, t.window, t.received = true, seqBase|int64(seq), 1, 1
	t.high = t.first
	t.expectedThen, t.receivedThen = 0, 0
}

// counts is everything until now.
func (t *tally) counts() counts {
	c := t.before
	if t.begun {
		c.expected += t.high - t.first + 1
		c.received += t.received
	}
	return c
}

// report is what a receiver report says (RFC 3550 §6.4.1) about the time since the last one.
func (t *tally) report() (fraction uint8, cumulative uint32, highest uint32) {
	expected, received := t.high-t.first+1, t.received
	lost := expected - received
	interval := expected - t.expectedThen
	missing := interval - (received - t.receivedThen)
	t.expectedThen, t.receivedThen = expected, received
	if interval > 0 && missing > 0 {
		fraction = uint8(min(255, missing*256/interval))
	}
	return fraction, uint32(max(0, lost)) & 0xffffff, uint32(t.high - seqBase)
}
