package sim

import (
	"math"
	"time"
)

// dice is all the randomness of a world: splitmix64 (Steele, Lea and Flood, 2014), a pure function of the seed.
type dice struct{ state uint64 }

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// n draws a whole number from 0 up to n, n not included; n > 0.
func (d *dice) n(n int) int { return int(d.next() % uint64(n)) }

// between draws a whole number from a to b, both included.
func (d *dice) between(a, b int) int { return a + d.n(b-a+1) }

// unit draws from [0, 1).
func (d *dice) unit() float64 { return float64(d.next()>>11) / (1 << 53) }

// is is true with probability p.
func (d *dice) is(p float64) bool { return p > 0 && d.unit() < p }

// time draws a time from a up to b.
func (d *dice) time(a, b time.Duration) time.Duration {
	return a + time.Duration(d.unit()*float64(b-a))
}

// exponential draws a time of the given mean, at most eight times that.
func (d *dice) exponential(mean time.Duration) time.Duration {
	return time.Duration(min(-math.Log(1-d.unit()), 8) * float64(mean))
}

// some draws k different numbers from 0 up to n, in the order drawn.
func (d *dice) some(k, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	k = min(k, n)
	for i := range k {
		j := i + d.n(n-i)
		all[i], all[j] = all[j], all[i]
	}
	return all[:k]
}
