//go:build unix

package mix_test

import (
	"syscall"
	"testing"
	"time"

	"rotunda"
	"rotunda/node/mix"
	"rotunda/node/opus"
	"rotunda/node/pcm"
)

// BenchmarkRoom is the cost of one tick of a room with ten on stage; the metric is the share of one core at 50 ticks a second, in processor
// time, so that a busy machine matters less.
func BenchmarkRoom(b *testing.B) {
	const length = 20 * time.Second
	for _, c := range []struct {
		name    string
		talking int
		rest    bool // the others send packets of silence (no DTX)
		mixed   bool // nobody is passed on: their senders do not measure levels
	}{
		{"silent", 0, false, false}, {"silent/without-dtx", 0, true, false}, {"passed", 1, false, false}, {"passed/without-dtx", 1, true, false},
		{"talking=1", 1, false, true}, {"talking=3", 3, false, false}, {"talking=10", 10, false, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := mix.New(mix.Options{}, opus.Codecs())
			streams := make([][]arrival, 10)
			for i := range streams {
				m.Add(rotunda.SSRC(i))
				switch n := int(length.Seconds()) * pcm.Rate; {
				case i < c.talking:
					streams[i] = talker{ssrc: rotunda.SSRC(i), audio: pcm.Speech(uint64(i), n)}.arrivals(b, nil)
				case c.rest:
					streams[i] = talker{ssrc: rotunda.SSRC(i), audio: make([]float32, n)}.arrivals(b, nil)
				}
			}
			now, tick := start, 0
			b.ReportAllocs()
			before := processor(b)
			for b.Loop() {
				for id, s := range streams {
					if len(s) == 0 {
						continue
					}
					f := s[tick%len(s)].frame
					if c.mixed {
						f.Level = 30
					}
					f.Seq, f.Timestamp = rotunda.Seq(tick), uint32(tick)*frame
					m.Push(now, rotunda.SSRC(id), &f)
				}
				m.Tick(now)
				now = now.Add(rotunda.FrameDuration)
				tick++
			}
			b.ReportMetric(float64(processor(b)-before)/float64(b.N)*50/1e9*100, "%core")
		})
	}
}

// processor is the processor time that this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
