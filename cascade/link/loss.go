package link

import "time"

const (
	// lossNone and lossSome are the shares of datagrams lost from which one copy, and two, of every frame follow it: with k
	// copies p becomes p^(k+1) where losses are independent. A depth is left again only below lossEase of its share.
	lossNone = .003
	lossSome = .04
	lossEase = .7
	// burstMany is the mean number of losses in a row from which there is one copy more.
	burstMany = 1.6
	// The quick mean has frames repeated within some seconds of the first losses, the slow one for as long as half a
	// minute after the last ones: many are seen to be few, for a while, and copies cost little. Each is a mean over so many
	// datagrams, and over so long at least.
	quickCount, quickFor = 150, time.Second
	slowCount, slowFor   = 1500, 15 * time.Second
	// Losses are counted over blockCount datagrams each, and the counts' scatter is a mean over blocksMean of them.
	blockCount, blocksMean = 50, 24
	// surely is how many blocks have to be seen before their scatter is believed.
	surely = 8
)

// window is when a copy of a frame goes, counted from when the frame went: with any datagram that leaves in it, else by
// itself at its end.
type window struct{ from, to time.Duration }

// copyWindows says, for a depth, when the copies go. They are as far from each other as the latest, 60 ms, allows, so that a
// gap of some ten milliseconds takes no two; the first one of several comes early because it repairs most. Frames come every
// 20 ms, so each window ends behind a multiple of it; only the last ends before it.
var copyWindows = [...][]window{
	{},
	{{35 * time.Millisecond, 43 * time.Millisecond}},
	{{15 * time.Millisecond, 23 * time.Millisecond}, {45 * time.Millisecond, 58 * time.Millisecond}},
	{{15 * time.Millisecond, 23 * time.Millisecond}, {35 * time.Millisecond, 43 * time.Millisecond}, {50 * time.Millisecond, 58 * time.Millisecond}},
}

// copiesMax is how often a frame goes again at most.
const copiesMax = len(copyWindows) - 1

// loss measures what share of its datagrams a link loses, and how many in a row, from counters alone. It is a pure core; the
// zero value is ready.
type loss struct {
	at         time.Time
	sent, lost uint64 // as of at

	quick, slow float64

	blockSent, blockLost float64
	blocks               int
	mean, square         float64 // of the losses in a block
	copies               int
}

// sample takes the counters at now: the datagrams sent, and the packets lost, which may fall when one arrives after all.
func (l *loss) sample(now time.Time, sent, lost uint64) {
	if l.at.IsZero() {
		l.at, l.sent, l.lost = now, sent, lost
		return
	}
	n, gone, passed := float64(sent-l.sent), float64(int64(lost-l.lost)), now.Sub(l.at)
	if n <= 0 || passed <= 0 {
		return // what was lost is counted with the next ones
	}
	l.at, l.sent, l.lost = now, sent, lost
	l.quick = toward(l.quick, gone/n, min(n/quickCount, float64(passed)/float64(quickFor)))
	l.slow = toward(l.slow, gone/n, min(n/slowCount, float64(passed)/float64(slowFor)))
	if l.blockSent, l.blockLost = l.blockSent+n, l.blockLost+gone; l.blockSent >= blockCount {
		l.block(max(l.blockLost, 0) * blockCount / l.blockSent)
		l.blockSent, l.blockLost = 0, 0
	}
	l.copies = l.depth()
}

func toward(mean, to, weight float64) float64 {
	return max(mean+(min(to, 1)-mean)*min(weight, 1), 0)
}

func (l *loss) block(lost float64) {
	l.blocks = min(l.blocks+1, blocksMean)
	w := 1 / float64(l.blocks)
	l.mean += (lost - l.mean) * w
	l.square += (lost*lost - l.square) * w
}

// ratio is the share of datagrams that is lost, 0 to 1.
func (l *loss) ratio() float64 { return max(l.quick, l.slow) }

// burst is the mean number of losses in a row; 1 while nothing is known. Counts of independent losses scatter as their mean
// is; in a two-state chain whose losses follow each other with probability q = p + (1-p)·c they scatter (1+c)/(1-c) times as
// much, and the mean run is 1/(1-q).
func (l *loss) burst() float64 {
	if l.blocks < surely || l.mean <= 0 {
		return 1
	}
	p := min(l.mean/blockCount, .9)
	scatter := (l.square - l.mean*l.mean) / (l.mean * (1 - p))
	c := max((scatter-1)/(scatter+1), 0)
	return 1 / ((1 - p) * (1 - c))
}

// depth is how often each frame should go again.
func (l *loss) depth() int {
	d := 0
	for i, from := range []float64{lossNone, lossSome} {
		if l.copies > i {
			from *= lossEase
		}
		if l.ratio() >= from {
			d = i + 1
		}
	}
	if d > 0 && l.burst() >= burstMany {
		d++
	}
	return d
}
