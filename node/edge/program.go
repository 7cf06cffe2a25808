package edge

import (
	"time"

	"rotunda"
)

// Program turns a room's program frames into the packets that every listener of the room on this node gets, whenever
// they joined. Make it with NewProgram.
type Program struct {
	out    rewriter
	epoch  rotunda.Epoch
	stats  Stats
	latest Packet
	last   [rotunda.PayloadMax]byte // backs latest.Payload
}

// Stats counts what a Program has seen.
type Stats struct {
	Packets   uint64        // made
	Epochs    uint64        // changes of epoch after the first
	Dropped   uint64        // frames that became no packet
	Gaps      uint64        // silences that nobody meant: loss, a stalled path, a change of epoch
	GapLength time.Duration // their sum
	GapMax    time.Duration // the longest
}

// NewProgram makes a program whose first packet has the given sequence number and timestamp. RFC 3550 §5.1 asks that
// they be random.
func NewProgram(sequence uint16, timestamp uint32) *Program {
	return &Program{out: rewriter{seq: sequence, ts: timestamp}}
}

// Frame takes the next frame of the program in any order and from any epoch; with None it returns the packet to send,
// whose Payload aliases the frame's. Frames of an epoch older than the newest seen are dropped, whatever their time.
func (p *Program) Frame(now time.Time, epoch rotunda.Epoch, f *rotunda.Frame) (Packet, Drop) {
	if p.out.sent && epoch < p.epoch {
		p.stats.Dropped++
		return Packet{}, OldEpoch
	}
	if epoch != p.epoch {
		if p.out.sent {
			p.stats.Epochs++
		}
		p.epoch = epoch
		p.out.detach()
	}
	pkt, drop := p.out.packet(now, f)
	if drop != None {
		p.stats.Dropped++
		p.out.gap = 0
		return Packet{}, drop
	}
	p.stats.Packets++
	if g := p.out.gap; g > 0 {
		p.stats.Gaps++
		p.stats.GapLength += g
		p.stats.GapMax = max(p.stats.GapMax, g)
	}
	if pkt.Sequence == p.out.seq && len(f.Payload) <= len(p.last) {
		p.latest = pkt
		p.latest.Payload = p.last[:copy(p.last[:], f.Payload)]
	}
	return pkt, None
}

// Pause says that the node lets go of the program because nobody hears it: what comes after it follows what went before without a
// hole, or whoever is greeted with the latest packet would miss what nobody was to hear.
func (p *Program) Pause() { p.out.pause() }

// Gap is the silence that nobody meant right before the packet that Frame returned last, 0 for none: what
// rotunda_program_gap_seconds observes.
func (p *Program) Gap() time.Duration { return p.out.gap }

// Epoch is the newest epoch heard, 0 before the first frame.
func (p *Program) Epoch() rotunda.Epoch { return p.epoch }

// Latest is the newest packet, for a listener who joins while the room is silent and would else wait up to 400 ms for the
// next one; ok is false before the first. Its Payload is valid until the next call of Frame.
func (p *Program) Latest() (pkt Packet, ok bool) { return p.latest, p.stats.Packets > 0 }

// Stats returns the counts so far.
func (p *Program) Stats() Stats { return p.stats }
