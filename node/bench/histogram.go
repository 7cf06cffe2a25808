package bench

import (
	"math"
	"math/bits"
	"time"
)

// A histogram tells durations apart by 1 part in histogramSub, from one microsecond to over an hour, in a fixed space. The
// zero value is empty.
const (
	histogramSub  = 32
	histogramBits = 5  // log2 of histogramSub
	histogramMost = 32 // powers of two of microseconds
)

type histogram struct {
	count uint64
	most  time.Duration
	bins  [histogramMost * histogramSub]uint32
}

// add counts d. Clocks that differ can make it negative: then it counts as 0.
func (h *histogram) add(d time.Duration) {
	d = max(0, d)
	h.count++
	h.most = max(h.most, d)
	h.bins[bin(uint64(d/time.Microsecond))]++
}

// bin numbers the bins: exact below histogramSub, then histogramSub to every power of two.
func bin(us uint64) int {
	if us < histogramSub {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - histogramBits
	return min((shift+1)*histogramSub+int(us>>shift)-histogramSub, histogramMost*histogramSub-1)
}

// top is the longest duration of a bin.
func top(i int) time.Duration {
	us := uint64(i + 1)
	if i >= histogramSub {
		us = uint64(i%histogramSub+histogramSub+1) << (i/histogramSub - 1)
	}
	return time.Duration(us)*time.Microsecond - 1
}

// percentile is the duration that p percent of all do not exceed (nearest rank), as far as the bins tell.
func (h *histogram) percentile(p float64) time.Duration {
	rank := max(1, uint64(math.Ceil(float64(h.count)*p/100)))
	seen := uint64(0)
	for i, n := range h.bins {
		if seen += uint64(n); seen >= rank {
			return min(top(i), h.most)
		}
	}
	return h.most
}

// Percentiles are of durations, in milliseconds.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// percentiles returns nil where nothing was measured.
func (h *histogram) percentiles() *Percentiles {
	if h.count == 0 {
		return nil
	}
	return &Percentiles{millis(h.percentile(50)), millis(h.percentile(95)), millis(h.percentile(99)), millis(h.most)}
}

// millis is d in milliseconds, to a microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
