package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Values of closed labels that more than one package needs. A package's own drop reasons are declared beside the code
// that drops and repeated here; a test in node compares the two.
var (
	certs         = []string{"node", "web"}
	turnEnds      = []string{"time", "skipped", "left"}
	memberStates  = []string{"alive", "draining", "suspect", "left", "dead"}
	roomStates    = []string{"scheduled", "live", "ended"}
	joinResults   = []string{"ok", "refused", "unknown_room", "unauthorized", "bad_offer", "busy", "failed"}
	ingestDrops   = []string{"muted", "not_granted", "rate", "size", "malformed", "late", "duplicate", "codec"}
	directions    = []string{"in", "out"}
	cascadeDrops  = []string{"duplicate", "hops", "unknown_stream", "queue_full", "malformed", "late", "not_member", "silenced", "fenced"}
	repairs       = []string{"redundancy", "second_path", "rerequest", "replay"}
	asked         = []string{"complete", "incomplete"}
	egressDrops   = []string{"queue_full", "closed", "unreachable", "duplicate"}
	gossipDrops   = []string{"malformed", "forged", "oversized", "wrong_label"}
	httpCodes     = []string{"1xx", "2xx", "3xx", "4xx", "5xx"}
	commandResult = []string{"ok", "refused", "conflict", "unavailable", "failed"}
	commands      = []string{
		"create", "start", "end", "edit", "refresh", "lock", "unlock", "request", "withdraw", "approve", "deny", "invite", "accept",
		"decline", "link_open", "link_close", "link_take", "role", "mute", "unmute", "mute_all", "warn", "remove", "unban", "report", "pin", "pin_approve", "pin_move", "unpin",
		"rotate", "rotation_next", "rotation_extend", "rotation_stop", "publish", "unpublish", "claim", "present", "absent", "restart", "stand_by", "take_home", "hand_over",
		"lost", "speaking", "tick",
	}
)

// Buckets, in seconds. Each reaches from well under the goal to well over what anybody would put up with.
var (
	joinBuckets    = []float64{.01, .025, .05, .1, .15, .25, .4, .7, 1, 2, 5}
	ageBuckets     = []float64{.001, .002, .005, .01, .02, .04, .06, .08, .1, .15, .2, .3, .5, 1}
	gapBuckets     = []float64{.02, .04, .06, .1, .15, .3, .5, 1, 2, 5}
	enforceBuckets = []float64{.01, .025, .05, .075, .1, .125, .15, .175, .2, .225, .25, .3, .5, 1, 2.5}    // the goals are .1 and .25
	turnBuckets    = []float64{.1, .25, .5, .75, .9, .95, .98, .99, 1, 1.01, 1.02, 1.05, 1.1, 1.25, 1.5, 2} // of the time given
	commandBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
)

// Set is every series of one node. The fields are grouped by the package that feeds them.
type Set struct {
	registry *prometheus.Registry

	members *byRegion[*GaugeVec]
	linkRTT *byRegion[*Gauge]

	// control
	Rooms        *GaugeVec // state
	LogAvailable *Gauge
	LogMended    *Counter
	LogDamaged   *Counter
	commandTime  map[string]*HistogramVec // command → result
	Enforcement  *Histogram
	Reports      *Gauge
	ReportAge    *Gauge
	Turns        *HistogramVec // end

	// node
	CertExpiry     *GaugeVec // cert
	ConfigGood     *Gauge
	ConfigLoaded   *Gauge
	Listeners      *Gauge
	Speakers       *Gauge
	Joins          *CounterVec // result
	JoinTime       *Histogram
	IngestPackets  *Counter
	IngestDropped  *CounterVec // reason
	FrameAge       *Histogram
	ProgramGap     *Histogram
	EgressPackets  *Counter
	EgressDropped  *CounterVec // reason
	EgressLost     *Gauge
	EgressResent   *Counter
	EgressRTT      *Histogram
	EgressJitter   *Histogram
	MixedFrames    *Counter
	DrainRemaining *Gauge
	HTTPResponses  *CounterVec // code

	// cascade
	CascadeFrames         *CounterVec // direction
	CascadeDropped        *CounterVec // reason
	CascadeRepaired       *CounterVec // how
	CascadeCopies         *Counter
	CascadeTaken          *Counter
	CascadeRepeatedFrames *Counter
	CascadeRepeatedBytes  *Counter
	CascadeRerequested    *CounterVec // direction
	CascadeLanes          *GaugeVec   // direction
	CascadeAsked          *CounterVec // result
	CascadeSubscriptions  *GaugeVec   // direction
	CascadeDatagrams      *CounterVec // direction
	GossipDropped         *CounterVec // reason
}

// New makes the series of one node and registers them in a registry of their own. version and revision go into
// rotunda_build_info.
func New(version, revision string) *Set {
	r := newRegistry()
	f := factory{r}
	f.gauge("rotunda_build_info", "Always 1; the labels say what is running.", prometheus.Labels{"version": version, "revision": revision}).Set(1)
	s := &Set{
		registry:     r,
		Rooms:        f.gauges("rotunda_rooms", "Rooms in this node's view of the mesh, by state.", "state", roomStates),
		LogAvailable: f.gauge("rotunda_log_available", "1 while the control log takes appends, 0 while it cannot be reached.", nil),
		LogMended:    f.counter("rotunda_log_mended_total", "Times that this node found a room's log damaged and put it right from its own copy."),
		LogDamaged:   f.counter("rotunda_log_damaged_total", "Times that this node found a room's log damaged, or to be another one than before, and had nothing to put it right with."),
		Enforcement:  f.histogram("rotunda_enforcement_seconds", "From a decision that takes somebody's voice or place to the last packet of theirs that this node forwarded; 0 where none was after it.", enforceBuckets),
		Reports:      f.gauge("rotunda_reports", "Reports of people and rooms that nobody has answered, in the whole mesh.", nil),
		ReportAge:    f.gauge("rotunda_report_age_seconds", "Age of the oldest report that nobody has answered; 0 while there is none.", nil),

		CertExpiry:     f.gauges("rotunda_cert_expiry_timestamp_seconds", "When the node's certificates run out, in seconds since 1970: the one that it shows to other nodes (node) and to browsers (web). 0: it has none of this kind.", "cert", certs),
		ConfigGood:     f.gauge("rotunda_config_reload_successful", "1 where the last reading of the configuration succeeded, 0 where it had mistakes and changed nothing.", nil),
		ConfigLoaded:   f.gauge("rotunda_config_reload_success_timestamp_seconds", "When the configuration was last read with success, in seconds since 1970.", nil),
		Listeners:      f.gauge("rotunda_listeners", "Media sessions on this node that take audio.", nil),
		Speakers:       f.gauge("rotunda_speakers", "Media sessions on this node that give audio.", nil),
		Joins:          f.counters("rotunda_joins_total", "Requests for a media session, by how they ended.", "result", joinResults),
		JoinTime:       f.histogram("rotunda_join_seconds", "From the request for a listening session to its first audio packet.", joinBuckets),
		IngestPackets:  f.counter("rotunda_ingest_packets_total", "RTP packets received from speakers."),
		IngestDropped:  f.counters("rotunda_ingest_dropped_total", "RTP packets from speakers that went no further, by reason.", "reason", ingestDrops),
		FrameAge:       f.histogram("rotunda_frame_age_seconds", "Age of a program frame at this edge, since the mixer or the speaker's ingest sent it.", ageBuckets),
		ProgramGap:     f.histogram("rotunda_program_gap_seconds", "Lengths of silence in the program that nobody meant.", gapBuckets),
		EgressPackets:  f.counter("rotunda_egress_packets_total", "RTP packets sent to listeners and speakers."),
		EgressDropped:  f.counters("rotunda_egress_dropped_total", "RTP packets not sent to a listener or speaker, by reason.", "reason", egressDrops),
		EgressLost:     f.gauge("rotunda_egress_lost_ratio", "Share of packets lost on the way to listeners, from their latest receiver reports.", nil),
		EgressResent:   f.counter("rotunda_egress_resent_total", "RTP packets sent again because a listener missed them."),
		EgressRTT:      f.histogram("rotunda_egress_rtt_seconds", "Round trip to listeners, from their receiver reports.", ageBuckets),
		EgressJitter:   f.histogram("rotunda_egress_jitter_seconds", "Interarrival jitter at listeners, from their receiver reports.", ageBuckets),
		MixedFrames:    f.counter("rotunda_mixed_frames_total", "Program frames that this node mixed and encoded as a home."),
		DrainRemaining: f.gauge("rotunda_drain_remaining", "Media sessions still here while the node drains; 0 when it does not.", nil),
		HTTPResponses:  f.counters("rotunda_http_responses_total", "HTTP responses, by class of status code.", "code", httpCodes),

		CascadeFrames:         f.counters("rotunda_cascade_frames_total", "Frames on the links to other nodes, by direction.", "direction", directions),
		CascadeDropped:        f.counters("rotunda_cascade_dropped_total", "Frames, datagrams and subscriptions from or for other nodes that went no further, by reason.", "reason", cascadeDrops),
		CascadeRepaired:       f.counters("rotunda_cascade_repaired_total", "Frames that would have been lost, by what brought them back.", "how", repairs),
		CascadeCopies:         f.counter("rotunda_cascade_copies_total", "Frames that other nodes sent here, each copy of them; copies per frame taken is the price of two ways."),
		CascadeTaken:          f.counter("rotunda_cascade_taken_total", "Frames of these that were the first of their copies."),
		CascadeRepeatedFrames: f.counter("rotunda_cascade_repeated_frames_total", "Copies of frames that were sent to other nodes again, because the link loses some."),
		CascadeRepeatedBytes:  f.counter("rotunda_cascade_repeated_bytes_total", "Octets of these copies."),
		CascadeRerequested:    f.counters("rotunda_cascade_rerequested_frames_total", "Frames that were missing and that other nodes were asked for once more (out), or that were sent to them once more because they asked (in).", "direction", directions),
		CascadeLanes:          f.gauges("rotunda_cascade_lanes", "Connections that links to other nodes have beside their own, for datagrams to them (out) or from them (in): they are opened when packets are lost.", "direction", directions),
		CascadeAsked:          f.counters("rotunda_cascade_asked_total", "Questions about the people of a room that were asked on this node, by whether every node has answered in time.", "result", asked),
		CascadeSubscriptions:  f.gauges("rotunda_cascade_subscriptions", "Streams that other nodes pull from this one (out) or this one from others (in).", "direction", directions),
		CascadeDatagrams:      f.counters("rotunda_cascade_datagrams_total", "Datagrams on the links to other nodes, by direction; frames per datagram is how well they are bundled.", "direction", directions),
		GossipDropped:         f.counters("rotunda_gossip_dropped_total", "Gossip that was not believed, by reason.", "reason", gossipDrops),
	}
	turns := f.histogramVec("rotunda_turn_ratio", "Length of turns in rotation over the time that each was given, by how they ended; counted once, at the room's home. 1: everybody has what is theirs.", turnBuckets, "end")
	s.Turns = newVec(turnEnds, func(end string) *Histogram { return &Histogram{turns.WithLabelValues(end)} })
	s.commandTime = map[string]*HistogramVec{}
	command := f.histogramVec("rotunda_command_seconds", "Time to decide a command and have it in the log.", commandBuckets, "command", "result")
	for _, name := range append([]string{"other"}, commands...) {
		s.commandTime[name] = newVec(commandResult, func(result string) *Histogram {
			return &Histogram{command.WithLabelValues(name, result)}
		})
	}
	members := f.gaugeVec("rotunda_members", "Nodes in this node's view of the mesh.", "region", "state")
	s.members = &byRegion[*GaugeVec]{seen: map[string]*GaugeVec{}, make: func(region string) *GaugeVec {
		return newVec(memberStates, func(state string) *Gauge { return &Gauge{members.WithLabelValues(region, state)} })
	}}
	rtt := f.gaugeVec("rotunda_cascade_link_rtt_seconds", "Smoothed round trip of the links to a region, the slowest of them.", "peer_region")
	s.linkRTT = &byRegion[*Gauge]{seen: map[string]*Gauge{}, make: func(region string) *Gauge {
		return &Gauge{rtt.WithLabelValues(region)}
	}}
	return s
}

// Members is the gauge of members of one region and state.
func (s *Set) Members(region, state string) *Gauge {
	if s == nil {
		return nil
	}
	return s.members.with(region).With(state)
}

// LinkRTT is the gauge of the round trip to one region.
func (s *Set) LinkRTT(region string) *Gauge {
	if s == nil {
		return nil
	}
	return s.linkRTT.with(region)
}

// CommandTime is the histogram of one command and result.
func (s *Set) CommandTime(command, result string) *Histogram {
	if s == nil {
		return nil
	}
	v, ok := s.commandTime[command]
	if !ok {
		v = s.commandTime["other"]
	}
	return v.With(result)
}

// Discard returns a set that no one scrapes, for tests and for the command-line clients: everything works, nothing is
// exported.
func Discard() *Set { return New("", "") }
