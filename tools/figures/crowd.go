package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"rotunda"
	"rotunda/node/bench"
	"rotunda/node/opus"
	"rotunda/node/pcm"
	"rotunda/node/rtc"
)

// The size of what is measured: a machine of two cores carries it.
const (
	crowd      = 500
	crowdFor   = 10 * time.Second
	crowdLarge = 10_000
	oneByOne   = 40
	onStage    = 10
	loadMax    = 3 * time.Minute
)

// serverCore and loadCore are where server and load run, so that neither takes the other's time.
const serverCore, loadCore = "0", "1"

// pinning reports whether this machine can keep processes on their cores.
func pinning() bool {
	_, err := exec.LookPath("taskset")
	return err == nil && runtime.NumCPU() >= 2
}

// on runs a command on one core, where that is possible.
func on(ctx context.Context, core, name string, args ...string) *exec.Cmd {
	if core == "" || !pinning() {
		return exec.CommandContext(ctx, name, args...)
	}
	return exec.CommandContext(ctx, "taskset", append([]string{"-c", core, name}, args...)...)
}

// keepTo moves this process, the speakers, to some cores.
func keepTo(cores string) {
	if pinning() {
		_ = exec.Command("taskset", "-apc", cores, strconv.Itoa(os.Getpid())).Run()
	}
}

// crowded measures what listeners cost a node, which is also the home of their room.
func crowded(ctx context.Context, root string) ([]figure, error) {
	return pinned(ctx, root, oneSpeaker, tenOnStage)
}

// pinned measures each on a node of its own, with server and load on a core each.
func pinned(ctx context.Context, root string, each ...func(context.Context, string, *mesh) ([]figure, error)) ([]figure, error) {
	keepTo(loadCore)
	defer keepTo("0-" + strconv.Itoa(runtime.NumCPU()-1))
	var all []figure
	for _, measure := range each {
		m, err := startMeshOn(ctx, root, serverCore, "--regions", "us-east")
		if err != nil {
			return nil, err
		}
		figures, err := measure(ctx, root, m)
		m.stop()
		if err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	return all, nil
}

// load runs `rotunda bench` against a room.
func load(ctx context.Context, root string, n node, room string, args ...string) (r bench.Result, err error) {
	return loadFor(ctx, loadMax, root, n, room, args...)
}

func loadFor(ctx context.Context, atMost time.Duration, root string, n node, room string, args ...string) (r bench.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	c := on(ctx, loadCore, filepath.Join(root, "bin", "rotunda"), append([]string{"bench", n.url + "/r/" + room, "--json", "--admin", n.admin}, args...)...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return r, fmt.Errorf("rotunda bench: %w", err)
	}
	return r, json.Unmarshal(out, &r)
}

func oneSpeaker(ctx context.Context, root string, m *mesh) ([]figure, error) {
	room, stop, err := talk(ctx, m.nodes[0].url, 1)
	if err != nil {
		return nil, err
	}
	defer stop()
	few, err := load(ctx, root, m.nodes[0], room, "--listeners", strconv.Itoa(oneByOne), "--concurrency", "1", "--duration", "1s", "--raw=false")
	if err != nil {
		return nil, err
	}
	many, err := load(ctx, root, m.nodes[0], room, "--listeners", strconv.Itoa(crowd), "--duration", crowdFor.String())
	if err != nil {
		return nil, err
	}
	if few.Joins == nil || many.Spread == nil || many.ServerPerPacket == nil || many.Ratio == nil || many.ServerPerListener == nil || many.ServerGoroutines == nil || many.ServerPerJoin == nil {
		return nil, fmt.Errorf("rotunda bench measured too little: %+v", many)
	}
	heard := fmt.Sprintf("%d of %d packets lost", many.Lost, many.Packets+uint64(many.Lost))
	figures := []figure{
		{"egress: CPU per packet, 1 speaker × 500 listeners", fmt.Sprintf("%.1f µs (%.1f × the plain loop)", *many.ServerPerPacket, *many.Ratio), "≤ 1.3 × the loop",
			fmt.Sprintf("all that the node does in %v, over the packets that came; %s", crowdFor, heard)},
		{"the machine's limit: the plain loop", fmt.Sprintf("%.1f µs (%.0f packets/s at its fastest)", *many.RawPerPacket, *many.RawPacketsPerSecond), "–",
			fmt.Sprintf("encrypts and sends (sendmmsg) as many packets of %.0f bytes at that pace to as many sockets, in the same run", many.PacketBytes)},
		{"egress: memory per listener", fmt.Sprintf("%.1f KiB", *many.ServerPerListener), "≤ 16 KiB", "resident after 10 s, less what it was before anybody came"},
		{"egress: goroutines per listener", fmt.Sprintf("%.2f", *many.ServerGoroutines), "≤ 0.1", ""},
		{"egress: joins per second", fmt.Sprintf("%.0f (%.1f ms of CPU each)", many.JoinsPerSecond, *many.ServerPerJoin), "≥ 500",
			fmt.Sprintf("HTTP, checks and DTLS, 32 at once; %d packets lost by those who listened meanwhile", many.LostJoining)},
		{"egress: join, idle node, p95", fmt.Sprintf("%.0f ms", few.Joins.P95), "≤ 150 ms", fmt.Sprintf("request to first audio packet, %d one after another", oneByOne)},
		{"egress: last listener after the first, p99", fmt.Sprintf("%.1f ms (p50 %.1f)", many.Spread.P99, many.Spread.P50), "≤ 3 ms", "the same packet at each listener after the earliest; what the node adds before that is not in it"},
	}
	return figures, nil
}

// large measures ten thousand listeners.
func large(ctx context.Context, root string) ([]figure, error) {
	return pinned(ctx, root, func(ctx context.Context, root string, m *mesh) ([]figure, error) {
		room, stop, err := talk(ctx, m.nodes[0].url, 1)
		if err != nil {
			return nil, err
		}
		defer stop()
		r, err := load(ctx, root, m.nodes[0], room, "--listeners", strconv.Itoa(crowdLarge), "--join-within", "2m", "--duration", crowdFor.String(), "--raw=false")
		if err != nil {
			return nil, err
		}
		if r.ServerCorePercent == nil || r.Joins == nil {
			return nil, errors.New("rotunda bench measured too little of the large crowd")
		}
		return []figure{{"egress: listeners on one core", fmt.Sprintf("%d (%.0f %% of it)", r.Listeners-r.Gone-r.Silent, *r.ServerCorePercent), "10,000, every frame delivered",
			fmt.Sprintf("packets of %.0f ms; %d of %d lost; joined at %.0f a second, p95 %.0f ms", r.PacketMs, r.Lost, r.Packets+uint64(r.Lost), r.JoinsPerSecond, r.Joins.P95)}}, nil
	})
}

// tenOnStage measures a room in which ten people talk at once.
func tenOnStage(ctx context.Context, root string, m *mesh) ([]figure, error) {
	room, stop, err := talk(ctx, m.nodes[0].url, onStage)
	if err != nil {
		return nil, err
	}
	defer stop()
	r, err := load(ctx, root, m.nodes[0], room, "--listeners", strconv.Itoa(crowd), "--duration", crowdFor.String(), "--raw=false")
	if err != nil {
		return nil, err
	}
	if r.ServerCorePercent == nil || r.Packets == 0 {
		return nil, errors.New("rotunda bench measured nothing of ten on stage")
	}
	return []figure{
		{"egress: CPU of a listener, ten on stage", fmt.Sprintf("%.3f %% of a core", *r.ServerCorePercent/float64(r.Listeners)), "≤ 0.03 %",
			fmt.Sprintf("ten talking at once, %d listeners; ingest and mixing are in it; %d packets lost", r.Listeners, r.Lost)},
		{"egress: packets to that listener", fmt.Sprintf("%.0f a second", float64(r.Packets)/r.Seconds/float64(r.Listeners)), "50", ""},
	}, nil
}

// talk opens a room in which so many people talk all the time, until stop is called.
func talk(ctx context.Context, url string, people int) (room string, stop func(), err error) {
	host, err := newGuest(ctx, url, "Ada")
	if err != nil {
		return "", nil, err
	}
	var r struct{ ID string }
	if err := host.call(ctx, "POST", "/v1/rooms", map[string]string{"title": "A crowd"}, &r); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var talking sync.WaitGroup
	stop = func() { cancel(); talking.Wait() }
	for i := range people {
		who := host
		if i > 0 {
			if who, err = invited(ctx, host, r.ID, fmt.Sprintf("Speaker %d", i)); err != nil {
				stop()
				return "", nil, err
			}
		}
		p, err := rtc.DialPublisher(ctx, rtc.ClientConfig{URL: url + "/v1/rooms/" + r.ID + "/whip", Token: who.Token})
		if err == nil {
			err = who.call(ctx, "DELETE", "/v1/rooms/"+r.ID+"/participants/"+who.User+"/mute", nil, nil)
		}
		if err != nil {
			stop()
			return "", nil, err
		}
		said, err := speech(uint64(i + 1))
		if err != nil {
			stop()
			return "", nil, err
		}
		talking.Go(func() { said.repeat(ctx, p) })
	}
	return r.ID, stop, nil
}

// invited is a guest whom the host lets on stage.
func invited(ctx context.Context, host *guest, room, name string) (*guest, error) {
	g, err := newGuest(ctx, host.url, name)
	if err == nil {
		err = g.call(ctx, "POST", "/v1/rooms/"+room+"/requests", struct{}{}, nil)
	}
	if err == nil {
		err = host.call(ctx, "POST", "/v1/rooms/"+room+"/requests/"+g.User+"/approve", struct{}{}, nil)
	}
	return g, err
}

// utterance is speech that has been encoded beforehand: the speakers are to cost the load's core next to nothing.
type utterance struct {
	packets [][]byte
	levels  []uint8
}

const utteranceFrames = 250 // five seconds

func speech(seed uint64) (u utterance, err error) {
	enc, err := opus.NewEncoder(opus.EncoderConfig{})
	if err != nil {
		return u, err
	}
	samples := pcm.Speech(seed, utteranceFrames*rotunda.FrameTicks)
	for ; len(samples) >= rotunda.FrameTicks; samples = samples[rotunda.FrameTicks:] {
		packet := make([]byte, rotunda.PayloadMax)
		n, err := enc.Encode(samples[:rotunda.FrameTicks], packet)
		if err != nil {
			return u, err
		}
		u.packets, u.levels = append(u.packets, packet[:n]), append(u.levels, pcm.Level(samples[:rotunda.FrameTicks]))
	}
	return u, nil
}

// repeat says it again and again until ctx ends, and leaves.
func (u utterance) repeat(ctx context.Context, p *rtc.Publisher) {
	defer p.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(rotunda.FrameDuration)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(u.packets) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.Write(u.packets[i], rotunda.FrameDuration, u.levels[i], u.levels[i] < 60) != nil {
			return
		}
	}
}
