package api

import (
	"math"
	"sync"
	"time"
)

// Rate is a token bucket: Burst at once, and PerSecond after that.
type Rate struct {
	PerSecond float64
	Burst     int
}

// bucketsMax is how many callers one limiter tells apart; a bucket takes about 100 bytes.
const bucketsMax = 1 << 16

// buckets limits many callers to one rate each, in bounded memory. When bucketsMax callers are busy at the same time, those
// who are new share one bucket: a flood from very many addresses then slows down newcomers and leaves those already here
// alone. Safe for concurrent use; time is an argument.
type buckets struct {
	size int

	mu     sync.Mutex // guards what follows
	rate   Rate
	byName map[string]*bucket
	rest   bucket    // shared by those who found no place
	swept  time.Time // when idle buckets were last thrown out
}

type bucket struct {
	level float64 // requests that may pass now
	at    time.Time
}

func newBuckets(r Rate, size int) *buckets {
	return &buckets{rate: r, size: size, byName: map[string]*bucket{}, rest: bucket{level: float64(r.Burst)}}
}

// take counts one request of name. wait is 0 when it may pass, else the time until the next one may.
func (b *buckets) take(now time.Time, name string) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.byName[name]
	if !ok {
		if len(b.byName) >= b.size {
			b.sweep(now)
		}
		if k = &b.rest; len(b.byName) < b.size {
			k = &bucket{level: float64(b.rate.Burst), at: now}
			b.byName[name] = k
		}
	}
	k.fill(now, b.rate)
	if k.level < 1 {
		return time.Duration(math.Ceil((1 - k.level) / b.rate.PerSecond * float64(time.Second)))
	}
	k.level--
	return 0
}

// setRate replaces the rate. What a caller has left of a larger burst is cut to the new one when they come next.
func (b *buckets) setRate(r Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rate = r
}

// fill adds what time has brought. A clock that goes back brings nothing.
func (k *bucket) fill(now time.Time, r Rate) {
	if d := now.Sub(k.at); d > 0 {
		k.level = min(float64(r.Burst), k.level+d.Seconds()*r.PerSecond)
		k.at = now
	}
}

// sweep throws out the buckets that are full again, which say nothing that a new one would not; at most once a second,
// because it looks at all of them.
func (b *buckets) sweep(now time.Time) {
	if d := now.Sub(b.swept); d >= 0 && d < time.Second {
		return
	}
	b.swept = now
	for name, k := range b.byName {
		if k.fill(now, b.rate); k.level >= float64(b.rate.Burst) {
			delete(b.byName, name)
		}
	}
}
