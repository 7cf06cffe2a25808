package metrics

import "github.com/prometheus/client_golang/prometheus"

// nativeFactor is how much wider each bucket of a native histogram is than the last: ten per cent.
const nativeFactor = 1.1

// factory registers series as it makes them.
type factory struct{ r *prometheus.Registry }

func (f factory) counter(name, help string) *Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	f.r.MustRegister(c)
	return &Counter{c}
}

func (f factory) counters(name, help, label string, values []string) *CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	f.r.MustRegister(v)
	return newVec(values, func(value string) *Counter { return &Counter{v.WithLabelValues(value)} })
}

func (f factory) gauge(name, help string, fixed prometheus.Labels) *Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: fixed})
	f.r.MustRegister(g)
	return &Gauge{g}
}

func (f factory) gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	f.r.MustRegister(v)
	return v
}

func (f factory) gauges(name, help, label string, values []string) *GaugeVec {
	v := f.gaugeVec(name, help, label)
	return newVec(values, func(value string) *Gauge { return &Gauge{v.WithLabelValues(value)} })
}

func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 100,
	}
}

func (f factory) histogram(name, help string, buckets []float64) *Histogram {
	h := prometheus.NewHistogram(histogramOpts(name, help, buckets))
	f.r.MustRegister(h)
	return &Histogram{h}
}

func (f factory) histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(histogramOpts(name, help, buckets), labels)
	f.r.MustRegister(v)
	return v
}
