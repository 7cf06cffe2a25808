package link_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"rotunda"
	"rotunda/cascade/link"
	"rotunda/cascade/nodecert"
	"rotunda/cascade/nodecert/certtest"
	"rotunda/cascade/wire"
	"rotunda/metrics"
)

// lossy is a network that loses a share of its packets: each by itself, or all within times that come at random and last
// burst in the mean (Gilbert and Elliott's two states, in time: nothing is lost outside, everything inside).
type lossy struct {
	simnet.PerfectRouter
	share float64
	burst time.Duration // 0: each packet by itself

	mu    sync.Mutex
	rng   *rand.Rand
	ways  map[string]*way // by sender
	count int
	lost  int
	bytes int // of all packets
}

type way struct {
	bad   bool
	until time.Time
}

func (n *lossy) SendPacket(p simnet.Packet) error {
	n.mu.Lock()
	lost := n.loses(p.From.String())
	n.count++
	n.bytes += len(p.Data)
	if lost {
		n.lost++
	}
	n.mu.Unlock()
	if lost {
		return nil
	}
	return n.PerfectRouter.SendPacket(p)
}

func (n *lossy) loses(from string) bool {
	if n.burst == 0 || n.share == 0 {
		return n.rng.Float64() < n.share
	}
	w := n.ways[from]
	if w == nil {
		w = &way{bad: true, until: time.Now()}
		n.ways[from] = w
	}
	for !time.Now().Before(w.until) {
		w.bad = !w.bad
		mean := float64(n.burst)
		if !w.bad {
			mean *= (1 - n.share) / n.share
		}
		w.until = w.until.Add(time.Duration(n.rng.ExpFloat64() * mean))
	}
	return w.bad
}

// trial is one line of the table.
type trial struct {
	share   float64
	burst   time.Duration
	rtt     time.Duration
	streams int
	plain   bool
	frames  int // in all
	seed    uint64
}

func (c trial) String() string {
	kind := "independent"
	if c.burst > 0 {
		kind = fmt.Sprintf("bursts of %v", c.burst)
	}
	return fmt.Sprintf("%g %% %s, %v, %d streams, plain %t", c.share*100, kind, c.rtt, c.streams, c.plain)
}

// result is what came of it. Late is later than the one-way time.
type result struct {
	missing   float64 // share of frames
	run       int     // longest, of one stream
	p99, max  time.Duration
	repeated  float64 // copies per frame
	answered  float64 // frames that went again because the peer asked, per frame
	bytes     int     // that the network was given
	lostThere float64 // share of packets that the network lost
}

// tally takes a link's frames: Origin says when each was sent.
type tally struct {
	oneWay time.Duration
	first  rotunda.Seq // frames before it are not counted: the link has to find out first

	mu   sync.Mutex
	late map[wire.Alias][]time.Duration // by seq-first; -1: missing
}

func (t *tally) Suspect(bool)               {}
func (t *tally) Control(wire.Message) error { return nil }
func (t *tally) Frame(a wire.Alias, f *rotunda.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.late[a]; f.Seq >= t.first && l[f.Seq-t.first] < 0 {
		l[f.Seq-t.first] = time.Duration(time.Now().UnixNano()-f.Origin) - t.oneWay
	}
}

func (t *tally) result() (r result) {
	var all []time.Duration
	for _, l := range t.late {
		run := 0
		for _, d := range l {
			if run++; d >= 0 {
				run = 0
				all = append(all, d)
			} else {
				r.missing++
			}
			r.run = max(r.run, run)
		}
	}
	r.missing /= r.missing + float64(len(all))
	slices.Sort(all)
	if len(all) == 0 {
		return r
	}
	r.p99, r.max = all[len(all)*99/100], all[len(all)-1]
	return r
}

// settle is how long a link runs before its frames count.
const settle = 15 * time.Second

func (c trial) run(t *testing.T) result {
	r, _ := c.hear(t)
	return r
}

// both is what came by two paths, of which each loses as the trial says: the first copy of a frame counts.
func (c trial) both(t *testing.T) result {
	one, heard := c.hear(t)
	c.seed++
	two, other := c.hear(t)
	for a, l := range heard.late {
		for i, d := range other.late[a] {
			if d >= 0 && (l[i] < 0 || d < l[i]) {
				l[i] = d
			}
		}
	}
	r := heard.result()
	r.repeated, r.bytes = (one.repeated+two.repeated)/2, one.bytes+two.bytes
	return r
}

func (c trial) hear(t *testing.T) (r result, ear *tally) {
	synctest.Test(t, func(t *testing.T) {
		router := &lossy{burst: c.burst, rng: rand.New(rand.NewPCG(c.seed, 0)), ways: map[string]*way{}}
		network := &simnet.Simnet{Router: router}
		ca := certtest.NewCA()
		accepted := make(chan *link.Link, 1)
		end := func(id rotunda.NodeID, ip string) (e *link.Endpoint, m *metrics.Set) {
			conn := network.NewEndpoint(&net.UDPAddr{IP: net.ParseIP(ip).To4(), Port: 1}, simnet.NodeBiDiLinkSettings{Latency: c.rtt / 2})
			m = metrics.New("", "")
			e, err := link.New(link.Config{Conn: conn, Self: nodecert.Identity{Region: "eu", ID: id}, Certificate: ca.Node("eu", id), Roots: ca.Roots(), Metrics: m})
			if err != nil {
				t.Fatal(err)
			}
			if c.plain {
				e.Plain()
			}
			return e, m
		}
		a, counted := end("a", "1.0.0.1")
		b, _ := end("b", "1.0.0.2")
		network.Start()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 3)
		go func() { done <- b.Run(ctx, func(l *link.Link) { accepted <- l }) }()
		la, err := a.Dial(ctx, "1.0.0.2:1", nodecert.Identity{Region: "eu", ID: "b"})
		if err != nil {
			t.Fatal(err)
		}
		lb := <-accepted
		ear = c.tally()
		go func() { done <- la.Run(ctx, &tally{}) }()
		go func() { done <- lb.Run(ctx, ear) }()
		la.SetBusy(true)
		lb.SetBusy(true)
		router.mu.Lock()
		router.share = c.share
		router.mu.Unlock()
		c.speak(la, int(ear.first)+len(ear.late[1]))
		time.Sleep(c.rtt + time.Second)
		synctest.Wait()
		stop()
		for range 3 {
			if err := <-done; err != nil {
				t.Log(err)
			}
		}
		a.Close()
		b.Close()
		network.Close()
		r = ear.result()
		n := &node{metrics: counted}
		frames := n.count(t, `rotunda_cascade_frames_total{direction="out"}`)
		r.repeated = n.count(t, "rotunda_cascade_repeated_frames_total") / frames
		r.answered = n.count(t, `rotunda_cascade_rerequested_frames_total{direction="in"}`) / frames
		r.bytes = router.bytes
		r.lostThere = float64(router.lost) / float64(router.count)
	})
	t.Logf("%v: missing %.4f %%, run %d, p99 %v, max %v, %.2f copies a frame, the network lost %.2f %%", c, r.missing*100, r.run, r.p99, r.max, r.repeated, r.lostThere*100)
	return r, ear
}

const frameEvery = 20 * time.Millisecond

func (c trial) tally() *tally {
	t := &tally{oneWay: c.rtt / 2, first: rotunda.Seq(settle / frameEvery), late: map[wire.Alias][]time.Duration{}}
	for s := range c.streams {
		l := make([]time.Duration, c.frames/c.streams)
		for i := range l {
			l[i] = -1
		}
		t.late[wire.Alias(s+1)] = l
	}
	return t
}

// speak sends n frames of each stream; the streams start evenly over the 20 ms.
func (c trial) speak(l *link.Link, n int) {
	f := &rotunda.Frame{Payload: make([]byte, 100)} // 40 kbit/s
	start := time.Now()
	for seq := range n {
		for s := range c.streams {
			time.Sleep(time.Until(start.Add(time.Duration(seq)*frameEvery + frameEvery*time.Duration(s)/time.Duration(c.streams))))
			f.Seq, f.Origin = rotunda.Seq(seq), time.Now().UnixNano()
			l.Send(wire.Alias(s+1), f)
		}
	}
}

// goals are what may be missing of a single path's frames, by the share of packets that it loses.
var goals = map[float64]float64{.05: .001, .1: .005}

// goalsOfTwo are the same of two paths, each of which loses as much.
var goalsOfTwo = map[float64]float64{.05: .003, .1: .01}

// lateGoal is how much later than on an unhurt path all but one in a hundred frames are.
const lateGoal = 60 * time.Millisecond

// What the goals say of a single path that loses packets; over all paths and kinds of loss together, so that chance does
// not decide.
func TestRepair(t *testing.T) {
	c := trial{streams: 1, frames: 6000, seed: 1}
	for share, most := range goals {
		missing, n := 0., 0.
		for _, c.burst = range []time.Duration{0, 10 * time.Millisecond} {
			for _, c.rtt = range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
				c.share = share
				r := c.run(t)
				missing, n = missing+r.missing, n+1
				if r.p99 > lateGoal {
					t.Errorf("%v: p99 %v late, want ≤ %v", c, r.p99, lateGoal)
				}
			}
		}
		if missing/n > most {
			t.Errorf("%g %% lost: %.4f %% of the frames missing, want ≤ %g %%", share*100, missing/n*100, most*100)
		}
	}
}

// A busy link on the worst path: the congestion windows carry every room's frames and their copies.
func TestRepairBusyLink(t *testing.T) {
	c := trial{share: .1, rtt: 200 * time.Millisecond, streams: 40, frames: 20000, seed: 1}
	if r := c.run(t); r.missing > goals[c.share] || r.p99 > lateGoal || r.repeated > 3 {
		t.Errorf("%v: %.3f %% missing, p99 %v late, %.2f copies a frame", c, r.missing*100, r.p99, r.repeated)
	}
}

// Where the round trip is short, what the copies leave missing is asked for: copies alone leave 0.1 % at 10 % loss. What was
// lost is no reason to ask for more than the copies cost.
func TestRepairByAsking(t *testing.T) {
	c := trial{share: .1, streams: 10, frames: 20000, seed: 1, rtt: 20 * time.Millisecond}
	if r := c.run(t); r.missing > .0005 || r.p99 > lateGoal || r.answered == 0 || r.answered > c.share {
		t.Errorf("%v: %.4f %% missing, p99 %v late, %.4f frames asked for of each", c, r.missing*100, r.p99, r.answered)
	}
	c.rtt = 80 * time.Millisecond
	c.frames = 4000
	if r := c.run(t); r.answered > 0 {
		t.Errorf("%v: %v frames asked for of each, want none", c, r.answered)
	}
}

// A link that loses nothing sends nothing twice.
func TestNoLossNoCopies(t *testing.T) {
	if r := (trial{rtt: 80 * time.Millisecond, streams: 3, frames: 3000}).run(t); r.repeated > 0 || r.answered > 0 || r.missing > 0 || r.max > 2*time.Millisecond {
		t.Errorf("%v copies a frame, %v missing, up to %v late, want none of it", r.repeated, r.missing, r.max)
	}
}
