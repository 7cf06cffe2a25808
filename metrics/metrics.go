// Package metrics holds every series that a node exports: its name, its help text, its unit and the closed set of values
// that each label may take. It is the only importer of the Prometheus client.
//
// The invariant: no label value ever comes from outside the source code of Rotunda (regions excepted, of which the first
// regionsMax are told apart), so the number of series of a node has a bound that rooms, users and attackers cannot raise.
// A value outside the declared set counts as "other".
//
// All methods may be called concurrently. A nil series counts nothing, and Discard makes a set that nobody scrapes, so
// that tests and clients need no metrics to run.
package metrics

import (
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Counter is a number that only grows.
type Counter struct{ c prometheus.Counter }

// Inc adds one.
func (c *Counter) Inc() { c.Add(1) }

// Add adds n, which must not be negative.
func (c *Counter) Add(n float64) {
	if c != nil {
		c.c.Add(n)
	}
}

// Gauge is a number that goes up and down.
type Gauge struct{ g prometheus.Gauge }

// Set makes v the value.
func (g *Gauge) Set(v float64) {
	if g != nil {
		g.g.Set(v)
	}
}

// Add changes the value by d.
func (g *Gauge) Add(d float64) {
	if g != nil {
		g.g.Add(d)
	}
}

// Histogram counts observations by size, in classic buckets and as a native histogram.
type Histogram struct{ h prometheus.Observer }

// Observe counts one observation, in the base unit of the series.
func (h *Histogram) Observe(v float64) {
	if h != nil {
		h.h.Observe(v)
	}
}

// vec is the part that labelled series share: the closed set of values.
type vec[T any] struct {
	known map[string]T
	other T
}

func newVec[T any](values []string, make func(string) T) *vec[T] {
	v := &vec[T]{known: map[string]T{}, other: make("other")}
	for _, value := range values {
		v.known[value] = make(value)
	}
	return v
}

// With returns the series of one label value; it allocates nothing. A value that was not declared counts as "other".
func (v *vec[T]) With(value string) T {
	if v == nil {
		var none T
		return none
	}
	if s, ok := v.known[value]; ok {
		return s
	}
	return v.other
}

// The labelled series, by one label whose values are declared in series.go.
type (
	CounterVec   = vec[*Counter]
	GaugeVec     = vec[*Gauge]
	HistogramVec = vec[*Histogram]
)

// regionsMax bounds the regions that are told apart in labels; later ones count as "other".
const regionsMax = 64

// byRegion is a family of series whose label is a region: open in name, bounded in number.
type byRegion[T any] struct {
	mu   sync.Mutex // guards seen
	seen map[string]T
	make func(string) T
}

func (b *byRegion[T]) with(region string) T {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s, ok := b.seen[region]; ok {
		return s
	}
	if len(b.seen) >= regionsMax {
		region = "other"
		if s, ok := b.seen[region]; ok {
			return s
		}
	}
	s := b.make(region)
	b.seen[region] = s
	return s
}

// Handler serves /metrics in the text and OpenMetrics formats.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
