package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"rotunda"
	"rotunda/node/bench"
	"rotunda/node/opus"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

const (
	idleFor    = 20 * time.Second
	startedFor = 10 * time.Second // after which what a start has left to do is done
	joins      = 40
	decisions  = 200
	mutedFor   = 300 * time.Millisecond
	clicks     = 30
	clickEvery = 700 * time.Millisecond
	clickFor   = 100 * time.Millisecond
)

// idle measures the start of a mesh and what its nodes cost with nobody there.
func idle(ctx context.Context, root string) ([]figure, error) {
	control, ready, err := idleMesh(ctx, root, "us-east,eu-west,ap-south")
	if err != nil {
		return nil, err
	}
	edge, _, err := idleMesh(ctx, root, "us-east,eu-west,ap-south,sa-east")
	if err != nil {
		return nil, err
	}
	figures := []figure{{"start of `rotunda up` to three ready nodes", fmt.Sprintf("%.1f s", ready.Seconds()), "≤ 3 s", "from exec to its last line"}}
	for _, n := range []struct {
		name, what string
		cost       idleCost
	}{{"idle node", "a control node of three", control}, {"idle node that is no control node", "the fourth of four nodes", edge}} {
		figures = append(figures,
			figure{n.name + ": resident", fmt.Sprintf("%.0f MiB, %.0f of it its own", mebi(n.cost.resident), mebi(n.cost.own)), "≤ 40 MiB",
				n.what + "; the rest are pages of the binary's file, which processes share and the system takes back when it is short of memory"},
			figure{n.name + ": share of a core", fmt.Sprintf("%.2f %%", 100*n.cost.share), "≤ 0.5 %", fmt.Sprintf("%s, over %v", n.what, idleFor)})
	}
	return figures, nil
}

type idleCost struct {
	resident, own int64 // bytes
	share         float64
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// idleMesh starts a mesh and measures the last of its nodes.
func idleMesh(ctx context.Context, root, regions string) (c idleCost, ready time.Duration, err error) {
	m, err := startMesh(ctx, root, "--regions", regions)
	if err != nil {
		return c, 0, err
	}
	defer m.stop()
	last := m.nodes[len(m.nodes)-1]
	if err := pause(ctx, startedFor); err != nil {
		return c, 0, err
	}
	before, err := bench.UsageOf(last.pid)
	if err != nil {
		return c, 0, err
	}
	if err := pause(ctx, idleFor); err != nil {
		return c, 0, err
	}
	after, err := bench.UsageOf(last.pid)
	if err != nil {
		return c, 0, err
	}
	c.resident, c.share = after.Resident, (after.CPU-before.CPU).Seconds()/idleFor.Seconds()
	c.own, err = last.anonymous()
	return c, m.ready, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// nearby measures joins in a mesh without distances.
func nearby(ctx context.Context, root string) ([]figure, error) {
	m, err := startMesh(ctx, root)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	v, err := hostSpeaks(ctx, m)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	v.hold.Store(true) // while all are silent the next packet of the program may be 400 ms away
	var took []time.Duration
	for range joins {
		d, err := join(ctx, m.nodes[2].url, v.room)
		if err != nil {
			return nil, err
		}
		took = append(took, d)
	}
	return []figure{{"join: request to first audio packet, p95", fmt.Sprintf("%.0f ms", percentile(took, .95)), "≤ 150 ms",
		fmt.Sprintf("%d joins of our own client, one after another, on another node than that of the speaker, who speaks", joins)}}, nil
}

// enforcement measures how soon a decision is carried out in a mesh without distances.
func enforcement(ctx context.Context, root string) ([]figure, error) {
	m, err := startMesh(ctx, root)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	v, err := hostSpeaks(ctx, m)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	return enforce(ctx, m, v)
}

// enforce mutes a speaker who holds a tone, again and again, and reads how long after the decision the last packet was
// forwarded: at the speaker's node, which takes the decision, and at another; then by way of a third. People listen at both.
func enforce(ctx context.Context, m *mesh, v *voice) ([]figure, error) {
	v.hold.Store(true)
	defer v.hold.Store(false)
	here, there, third := m.nodes[0], m.nodes[2], m.nodes[1]
	for _, n := range []node{here, there} {
		g, err := newGuest(ctx, n.url, "Eve")
		if err != nil {
			return nil, err
		}
		e, err := listen(ctx, g, v.room)
		if err != nil {
			return nil, err
		}
		defer e.stop()
	}
	const how = "by rotunda_enforcement_seconds; who holds a tone is listened to at both nodes, and the mixer holds 40 ms and more of it"
	type place struct {
		node         node
		name, target string
		before       histogram
	}
	var figures []figure
	for _, way := range []struct {
		by       node
		measured []place
	}{
		{here, []place{
			{node: here, name: "enforcement: mute → last packet forwarded at the speaker's node, which decided, p99", target: "≤ 100 ms"},
			{node: there, name: "enforcement: the same → last packet forwarded at another node, p99", target: "≤ 250 ms"},
		}},
		{third, []place{{node: here, name: "enforcement: mute decided elsewhere → last packet forwarded at the speaker's node, p99", target: "≤ 250 ms"}}},
	} {
		for i := range way.measured {
			p, err := &way.measured[i], error(nil)
			if p.before, err = p.node.histogram(ctx, "rotunda_enforcement_seconds"); err != nil {
				return nil, err
			}
		}
		if err := muteOften(ctx, v, way.by.url); err != nil {
			return nil, err
		}
		for _, p := range way.measured {
			after, err := p.node.histogram(ctx, "rotunda_enforcement_seconds")
			if err != nil {
				return nil, err
			}
			p99, n := after.since(p.before).quantile(.99)
			figures = append(figures, figure{p.name, fmt.Sprintf("%.0f ms", p99*1e3), p.target, fmt.Sprintf("%.0f samples of %d decisions, %s", n, decisions, how)})
		}
	}
	return figures, nil
}

// muteOften takes the decisions at a node, and ends with the microphone open and the last of them measured.
func muteOften(ctx context.Context, v *voice, url string) error {
	host := *v.host
	host.url = url
	path := "/v1/rooms/" + v.room + "/participants/" + v.host.User + "/mute"
	for range decisions {
		for _, method := range []string{"POST", "DELETE"} {
			if err := host.call(ctx, method, path, nil, nil); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(mutedFor): // the sound is gone, or there again; within the rates of one person
			}
		}
	}
	return nil
}

// join connects a listener and returns how long its first packet took.
func join(ctx context.Context, url, room string) (time.Duration, error) {
	g, err := newGuest(ctx, url, "Bob")
	if err != nil {
		return 0, err
	}
	first := make(chan time.Time, 1)
	began := time.Now()
	p, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: url + "/v1/rooms/" + room + "/whep", Token: g.Token}, func(r rtc.Received) {
		select {
		case first <- r.Arrival:
		default:
		}
	})
	if err != nil {
		return 0, err
	}
	defer p.Close(ctx)
	select {
	case at := <-first:
		return at.Sub(began), nil
	case <-time.After(5 * time.Second):
		return 0, fmt.Errorf("no audio within 5 s of joining")
	}
}

// faraway measures mouth to ear over emulated distances.
func faraway(ctx context.Context, root string) ([]figure, error) {
	m, err := startMesh(ctx, root, "--wan", "--regions", "us-east,eu-west,ap-south")
	if err != nil {
		return nil, err
	}
	defer m.stop()
	v, err := hostSpeaks(ctx, m)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	bob, err := newGuest(ctx, m.nodes[1].url, "Bob")
	if err != nil {
		return nil, err
	}
	e, err := listen(ctx, bob, v.room)
	if err != nil {
		return nil, err
	}
	defer e.stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(clicks * clickEvery):
	}
	var heard []time.Duration
	for _, at := range e.onsets() {
		if said, ok := v.before(at); ok {
			heard = append(heard, at.Sub(said))
		}
	}
	rtt, err := m.nodes[0].series(ctx, `rotunda_cascade_link_rtt_seconds{peer_region="eu-west"}`)
	if err != nil {
		return nil, err
	}
	return []figure{
		{fmt.Sprintf("mouth to ear at %.0f ms round trip, p95", rtt*1e3), fmt.Sprintf("%.0f ms (p50 %.0f)", percentile(heard, .95), percentile(heard, .5)), "≤ 200 ms at 80 ms",
			fmt.Sprintf("%d clicks, from the first sample spoken to the decoded packet that holds it, packetisation, jitter buffer, mixing and both codecs included; the player's own buffer is not", len(heard))},
	}, nil
}

// voice is a speaker who clicks.
type voice struct {
	host *guest
	room string
	stop func()

	mu   sync.Mutex
	said []time.Time // when the first sample of each click was spoken

	hold atomic.Bool // a tone without a pause instead
}

// hostSpeaks has a guest of the first node open a room and speak in it.
func hostSpeaks(ctx context.Context, m *mesh) (*voice, error) {
	host, err := newGuest(ctx, m.nodes[0].url, "Ada")
	if err != nil {
		return nil, err
	}
	return speak(ctx, host)
}

func speak(ctx context.Context, g *guest) (*voice, error) {
	v := &voice{host: g}
	var r struct {
		ID string `json:"id"`
	}
	if err := g.call(ctx, "POST", "/v1/rooms", map[string]string{"title": "Figures"}, &r); err != nil {
		return nil, err
	}
	v.room = r.ID
	pub, err := rtc.DialPublisher(ctx, rtc.ClientConfig{URL: g.url + "/v1/rooms/" + r.ID + "/whip", Token: g.Token})
	if err != nil {
		return nil, err
	}
	if err := g.call(ctx, "DELETE", "/v1/rooms/"+r.ID+"/participants/"+g.User+"/mute", nil, nil); err != nil {
		return nil, err
	}
	enc, err := opus.NewEncoder(opus.EncoderConfig{})
	if err != nil {
		return nil, err
	}
	quit, done := make(chan struct{}), make(chan struct{})
	v.stop = func() { close(quit); <-done; pub.Close(ctx) }
	go func() {
		defer close(done)
		v.click(enc, pub, quit)
	}()
	return v, nil
}

// click speaks: 100 ms of a tone every 700 ms. A frame is sent when its last sample has been spoken.
func (v *voice) click(enc *opus.Encoder, pub *rtc.Publisher, quit chan struct{}) {
	samples, packet := make([]float32, rotunda.FrameTicks), make([]byte, rotunda.PayloadMax)
	ticker := time.NewTicker(rotunda.FrameDuration)
	defer ticker.Stop()
	tone := pcm.Tone{Hertz: 1000, Amplitude: 0.5}
	for frame := 0; ; frame++ {
		select {
		case <-quit:
			return
		case <-ticker.C:
		}
		at := time.Duration(frame) * rotunda.FrameDuration % clickEvery
		clear(samples)
		if at < clickFor || v.hold.Load() {
			tone.Fill(samples)
		}
		if at == 0 {
			v.mu.Lock()
			v.said = append(v.said, time.Now().Add(-rotunda.FrameDuration))
			v.mu.Unlock()
		}
		n, err := enc.Encode(samples, packet)
		if err != nil || pub.Write(packet[:n], rotunda.FrameDuration, pcm.Level(samples), at < clickFor || v.hold.Load()) != nil {
			return
		}
	}
}

// before is the click that was heard at a time.
func (v *voice) before(heard time.Time) (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := len(v.said) - 1; i >= 0; i-- {
		if v.said[i].Before(heard) {
			return v.said[i], heard.Sub(v.said[i]) < clickEvery
		}
	}
	return time.Time{}, false
}

// ear is a listener who notes when clicks begin.
type ear struct {
	stop func()

	mu    sync.Mutex
	began []time.Time
	quiet int // packets in a row without sound
}

func listen(ctx context.Context, g *guest, room string) (*ear, error) {
	e := &ear{quiet: 10}
	dec, err := opus.NewDecoder()
	if err != nil {
		return nil, err
	}
	samples := make([]float32, opus.SamplesMax)
	p, err := rtc.DialPlayer(ctx, rtc.ClientConfig{URL: g.url + "/v1/rooms/" + room + "/whep", Token: g.Token}, func(r rtc.Received) {
		n, err := dec.Decode(r.Payload, samples)
		if err != nil {
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if pcm.Level(samples[:n]) > 30 {
			e.quiet++
			return
		}
		if e.quiet >= 5 {
			e.began = append(e.began, r.Arrival)
		}
		e.quiet = 0
	})
	if err != nil {
		return nil, err
	}
	e.stop = func() { p.Close(ctx) }
	return e, nil
}

func (e *ear) onsets() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]time.Time(nil), e.began...)
}
