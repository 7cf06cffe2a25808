package bench

import "time"

// Result is what a load measured. Its JSON is read by scripts. Pointers are nil where nothing was measured; what is called
// lost, duplicate and so on is of the time that all listened, from the first packet on of each listener.
type Result struct {
	Listeners int               `json:"listeners"` // who joined
	Wanted    int               `json:"wanted"`
	Failed    map[string]int    `json:"failed,omitempty"` // by how far they came: answer, ice, dtls, no_audio; too_late, cancelled
	Errors    map[string]string `json:"errors,omitempty"` // an example of each
	Deferred  int               `json:"deferred"`         // answers that said to come again later
	Gone      int               `json:"gone"`             // joined, and were there no more at the end
	Silent    int               `json:"silent"`           // were there and got nothing in the last two seconds, while others did

	Joins          *Percentiles `json:"join_ms"`          // from the request to the first audio packet
	JoinSeconds    float64      `json:"join_seconds"`     // until all had joined
	JoinsPerSecond float64      `json:"joins_per_second"` // over that
	LostJoining    int64        `json:"lost_joining"`     // by those who listened already, while others joined

	Seconds     float64      `json:"seconds"` // that all listened
	Packets     uint64       `json:"packets"`
	Lost        int64        `json:"lost"`
	Duplicates  int64        `json:"duplicates"`
	Reordered   int64        `json:"reordered"`
	Checked     uint64       `json:"checked"` // decrypted, and were Opus
	Bad         uint64       `json:"bad"`     // not authentic, not Opus, or of a stream that nobody announced
	PacketBytes float64      `json:"packet_bytes"`
	PacketMs    float64      `json:"packet_ms"` // audio in a packet
	Ages        *Percentiles `json:"age_ms"`    // how old the sound was when it came
	AgesBy      string       `json:"age_by,omitempty"`
	Spread      *Percentiles `json:"spread_ms"` // how much later than at the earliest listener the same packet came

	ServerPerPacket     *float64 `json:"server_us_per_packet"`
	ServerPerListener   *float64 `json:"server_kib_per_listener"`
	ServerGoroutines    *float64 `json:"server_goroutines_per_listener"`
	ServerPerJoin       *float64 `json:"server_ms_per_join"`
	ServerCorePercent   *float64 `json:"server_core_percent"` // of one core, while all listened
	LoadPerPacket       *float64 `json:"load_us_per_packet"`  // what this process used itself
	RawPerPacket        *float64 `json:"raw_us_per_packet"`
	RawPacketsPerSecond *float64 `json:"raw_packets_per_second"`
	Ratio               *float64 `json:"ratio_to_raw"`

	Growth  *Growth  `json:"growth,omitempty"`
	Samples []Sample `json:"samples,omitempty"`

	Hostile map[Attack]*Assault `json:"hostile,omitempty"`
}

// What ages are measured by.
const (
	bySenderReports = "sender reports (RFC 3550 §6.4.1)"
	byCaptureTimes  = "abs-capture-time header extension"
)

// Growth compares the last quarter of the samples with the second: the first is warming up.
type Growth struct {
	Resident   float64 `json:"resident_percent"`
	Goroutines float64 `json:"goroutines_percent"`
	Flat       bool    `json:"flat"` // neither grew by more than growthMax percent
}

const (
	growthMax  = 5
	samplesMax = 120
	samplesMin = 8 // for growth to mean anything
)

// sampleEvery spreads at most samplesMax samples over a time, a second apart at least.
func sampleEvery(d time.Duration) time.Duration { return max(time.Second, d/samplesMax) }

// growth is nil where there are too few samples.
func growth(s []Sample) *Growth {
	if len(s) < samplesMin || s[0].Resident == 0 {
		return nil
	}
	mean := func(of []Sample, v func(Sample) float64) (m float64) {
		for _, x := range of {
			m += v(x) / float64(len(of))
		}
		return m
	}
	percent := func(v func(Sample) float64) float64 {
		q := len(s) / 4
		before, after := mean(s[q:2*q], v), mean(s[len(s)-q:], v)
		if before == 0 {
			return 0
		}
		return (after - before) / before * 100
	}
	g := &Growth{
		Resident:   percent(func(x Sample) float64 { return float64(x.Resident) }),
		Goroutines: percent(func(x Sample) float64 { return float64(x.Goroutines) }),
	}
	g.Flat = g.Resident <= growthMax && g.Goroutines <= growthMax
	return g
}
