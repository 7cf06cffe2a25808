package main

import "fmt"

// sum adds the rates of a counter up by labels.
func sum(by, name, where string) string {
	return fmt.Sprintf(`sum by (%s) (rate(%s{job=~"$job"%s}%s))`, by, name, where, rate)
}

// quantile is a high quantile of a histogram.
func quantile(q, by, name, where string) string {
	if by != "" {
		by = ", " + by
	}
	return fmt.Sprintf(`histogram_quantile(%s, sum by (le%s) (rate(%s_bucket{job=~"$job"%s}%s)))`, q, by, name, where, rate)
}

const (
	node = `, instance=~"$instance"`
	// region is of the nodes that a node sees, not its own: members and links say it.
	region = `, region=~"$region"`
)

var dashboards = []dashboard{
	{
		file: "mesh.json", title: "Mesh", about: "The whole mesh: who is there, how many people, and the objectives.",
		panels: []panel{
			{title: "Nodes by state", about: "As the node sees it that sees the most.", unit: "short", series: []series{{`max by (region, state) (rotunda_members{job=~"$job"}) > 0`, "{{region}} {{state}}"}}},
			{title: "Live rooms", about: "As the node sees it that sees the most.", unit: "short", series: []series{{`max by (state) (rotunda_rooms{job=~"$job", state="live"})`, "{{state}}"}}},
			{title: "Listeners and speakers", about: "Media sessions on all nodes.", unit: "short", series: []series{{`sum(rotunda_listeners{job=~"$job"})`, "listeners"}, {`sum(rotunda_speakers{job=~"$job"})`, "speakers"}}},
			{title: "Joins that fail", about: "Share of joins that the mesh turned away; the objective is 0.1 % a month.", unit: "percentunit", series: []series{{"rotunda:joins:failed_ratio_5m", "5 minutes"}, {"rotunda:joins:failed_ratio_1h", "1 hour"}}},
			{title: "Silence that nobody meant", about: "Share of the program's time; the objective is 0.1 % a month.", unit: "percentunit", series: []series{{"rotunda:program:gap_ratio_5m", "5 minutes"}, {"rotunda:program:gap_ratio_1h", "1 hour"}}},
			{title: "Decisions that are enforced late", about: "Share of those that took more than 250 ms; the objective is 1 % a month.", unit: "percentunit", series: []series{{"rotunda:enforcement:late_ratio_5m", "5 minutes"}, {"rotunda:enforcement:late_ratio_1h", "1 hour"}}},
			{title: "Control log away", about: "Share of the time and nodes; the objective is 0.1 % a month.", unit: "percentunit", series: []series{{"rotunda:log:away_ratio_5m", "5 minutes"}, {"rotunda:log:away_ratio_1h", "1 hour"}}},
			{title: "Versions", about: "How many nodes run what.", unit: "short", series: []series{{`count by (version) (rotunda_build_info{job=~"$job"})`, "{{version}}"}}},
		},
	},
	{
		file: "region.json", title: "Region", about: "The nodes of a region, and the links to it.", by: "region", from: "rotunda_members",
		panels: []panel{
			{title: "Nodes by state", about: "As the others see them.", unit: "short", series: []series{{`max by (region, state) (rotunda_members{job=~"$job"` + region + `}) > 0`, "{{region}} {{state}}"}}},
			{title: "Round trip to the region", about: "Of the slowest link of each node that has one.", unit: "s", series: []series{{`max by (instance, peer_region) (rotunda_cascade_link_rtt_seconds{job=~"$job", peer_region=~"$region"})`, "{{instance}} to {{peer_region}}"}}},
			{title: "Frames between nodes", about: "Sent and received, all nodes of the job.", unit: "pps", series: []series{{sum("direction", "rotunda_cascade_frames_total", ""), "{{direction}}"}}},
			{title: "Frames a datagram", about: "How well frames are bundled.", unit: "short", series: []series{{sum("direction", "rotunda_cascade_frames_total", "") + " / " + sum("direction", "rotunda_cascade_datagrams_total", ""), "{{direction}}"}}},
			{title: "Streams between nodes", about: "Pulled from others (in) and by others (out).", unit: "short", series: []series{{`sum by (direction) (rotunda_cascade_subscriptions{job=~"$job"})`, "{{direction}}"}}},
			{title: "Copies a frame", about: "What two ways cost: 2 where every program comes by two.", unit: "short", series: []series{{sum("instance", "rotunda_cascade_copies_total", "") + " / " + sum("instance", "rotunda_cascade_taken_total", ""), "{{instance}}"}}},
		},
	},
	{
		file: "node.json", title: "Node", about: "One node: its people, its work, and what it drops and why.", by: "instance", from: "rotunda_build_info",
		panels: []panel{
			{title: "Listeners and speakers", about: "Media sessions here.", unit: "short", series: []series{{`rotunda_listeners{job=~"$job"` + node + `}`, "{{instance}} listeners"}, {`rotunda_speakers{job=~"$job"` + node + `}`, "{{instance}} speakers"}}},
			{title: "Processor", about: "Cores in use.", unit: "short", series: []series{{sum("instance", "process_cpu_seconds_total", node), "{{instance}}"}}},
			{title: "Memory", about: "Resident.", unit: "bytes", series: []series{{`process_resident_memory_bytes{job=~"$job"` + node + `}`, "{{instance}}"}}},
			{title: "Goroutines", about: "They do not grow with listeners.", unit: "short", series: []series{{`go_goroutines{job=~"$job"` + node + `}`, "{{instance}}"}}},
			{title: "Packets", about: "From speakers and to everybody.", unit: "pps", series: []series{{sum("instance", "rotunda_ingest_packets_total", node), "{{instance}} in"}, {sum("instance", "rotunda_egress_packets_total", node), "{{instance}} out"}}},
			{title: "Mixed", about: "Program frames made here, 50 a second for each room whose home this is and that is listened to.", unit: "pps", series: []series{{sum("instance", "rotunda_mixed_frames_total", node), "{{instance}}"}}},
			{title: "Dropped from speakers", about: "Why: muted is as it should be.", unit: "pps", series: []series{{sum("reason", "rotunda_ingest_dropped_total", node), "{{reason}}"}}},
			{title: "Dropped to listeners", about: "Why.", unit: "pps", series: []series{{sum("reason", "rotunda_egress_dropped_total", node), "{{reason}}"}}},
			{title: "Dropped between nodes", about: "Why: duplicate is the price of two ways.", unit: "pps", series: []series{{sum("reason", "rotunda_cascade_dropped_total", node), "{{reason}}"}}},
			{title: "Gossip that is not believed", about: "Why.", unit: "pps", series: []series{{sum("reason", "rotunda_gossip_dropped_total", node), "{{reason}}"}}},
			{title: "HTTP", about: "Answers by class.", unit: "reqps", series: []series{{sum("code", "rotunda_http_responses_total", node), "{{code}}"}}},
			{title: "Draining", about: "Sessions that are still here while the node is emptied.", unit: "short", series: []series{{`rotunda_drain_remaining{job=~"$job"` + node + `}`, "{{instance}}"}}},
			{title: "Certificates", about: "Time until they run out.", unit: "s", series: []series{{`(rotunda_cert_expiry_timestamp_seconds{job=~"$job"` + node + `} > 0) - time()`, "{{instance}} {{cert}}"}}},
			{title: "Configuration", about: "1 where the last reading succeeded.", unit: "short", series: []series{{`rotunda_config_reload_successful{job=~"$job"` + node + `}`, "{{instance}}"}}},
		},
	},
	{
		file: "audience.json", title: "Audience quality", about: "What people hear: how soon, how old, how whole.", by: "instance", from: "rotunda_build_info",
		panels: []panel{
			{title: "Join to first packet", about: "p50 and p95; the goal is 150 ms on an idle node.", unit: "s", series: []series{{quantile("0.5", "", "rotunda_join_seconds", node), "p50"}, {quantile("0.95", "", "rotunda_join_seconds", node), "p95"}}},
			{title: "Joins", about: "By how they ended.", unit: "reqps", series: []series{{sum("result", "rotunda_joins_total", node), "{{result}}"}}},
			{title: "Age of the program", about: "When it reaches a node, p99.", unit: "s", series: []series{{quantile("0.99", "instance", "rotunda_frame_age_seconds", node), "{{instance}}"}}},
			{title: "Silence that nobody meant", about: "Gaps in programs, by length, p99, and how many.", unit: "s", series: []series{{quantile("0.99", "instance", "rotunda_program_gap_seconds", node), "{{instance}} p99"}, {sum("instance", "rotunda_program_gap_seconds_count", node), "{{instance}} a second"}}},
			{title: "Lost on the last mile", about: "Share that listeners say they miss.", unit: "percentunit", series: []series{{`rotunda_egress_lost_ratio{job=~"$job"` + node + `}`, "{{instance}}"}}},
			{title: "Sent again", about: "Because a listener asked.", unit: "pps", series: []series{{sum("instance", "rotunda_egress_resent_total", node), "{{instance}}"}}},
			{title: "Round trip to listeners", about: "p50 and p95 of their reports.", unit: "s", series: []series{{quantile("0.5", "instance", "rotunda_egress_rtt_seconds", node), "{{instance}} p50"}, {quantile("0.95", "instance", "rotunda_egress_rtt_seconds", node), "{{instance}} p95"}}},
			{title: "Jitter at listeners", about: "p95 of their reports.", unit: "s", series: []series{{quantile("0.95", "instance", "rotunda_egress_jitter_seconds", node), "{{instance}}"}}},
			{title: "Repaired between nodes", about: "Frames that would have been lost, by what brought them back.", unit: "pps", series: []series{{sum("how", "rotunda_cascade_repaired_total", node), "{{how}}"}}},
			{title: "Sent again between nodes", about: "Because a link loses some: copies, frames asked for, and connections opened for that.", unit: "short", series: []series{{sum("instance", "rotunda_cascade_repeated_frames_total", node), "{{instance}} copies a second"}, {sum("direction", "rotunda_cascade_rerequested_frames_total", node), "asked for, {{direction}}, a second"}, {`sum by (direction) (rotunda_cascade_lanes{job=~"$job"` + node + `})`, "connections {{direction}}"}}},
		},
	},
	{
		file: "control.json", title: "Control plane", about: "Decisions: are they taken, how fast, and when do they hold.", by: "instance", from: "rotunda_build_info",
		panels: []panel{
			{title: "Control log available", about: "1 where the node can append.", unit: "short", series: []series{{`rotunda_log_available{job=~"$job"` + node + `}`, "{{instance}}"}}},
			{title: "Rooms' logs found damaged", about: "Mended from the node's own copy, or not.", unit: "reqps", series: []series{{sum("", "rotunda_log_mended_total", node), "mended"}, {sum("", "rotunda_log_damaged_total", node), "not mended"}}},
			{title: "Decisions", about: "By command.", unit: "reqps", series: []series{{sum("command", "rotunda_command_seconds_count", node), "{{command}}"}}},
			{title: "Decisions by result", about: "unavailable: the log did not answer. conflict: somebody else was faster.", unit: "reqps", series: []series{{sum("result", "rotunda_command_seconds_count", node), "{{result}}"}}},
			{title: "Time of a decision", about: "Until it is in the log, p50 and p99.", unit: "s", series: []series{{quantile("0.5", "", "rotunda_command_seconds", node+`, result="ok"`), "p50"}, {quantile("0.99", "", "rotunda_command_seconds", node+`, result="ok"`), "p99"}}},
			{title: "Until a mute holds", about: "From the decision to the last packet, p50 and p99; the goal is 100 ms here and 250 ms elsewhere.", unit: "s", series: []series{{quantile("0.5", "", "rotunda_enforcement_seconds", node), "p50"}, {quantile("0.99", "", "rotunda_enforcement_seconds", node), "p99"}}},
			{title: "Rooms", about: "By state, as this node knows them.", unit: "short", series: []series{{`max by (state) (rotunda_rooms{job=~"$job"` + node + `})`, "{{state}}"}}},
			{title: "Reports that wait", about: "Of people and rooms.", unit: "short", series: []series{{`max(rotunda_reports{job=~"$job"})`, "reports"}}},
			{title: "Oldest report", about: "Its age.", unit: "s", series: []series{{`max(rotunda_report_age_seconds{job=~"$job"})`, "age"}}},
			{title: "Questions to all nodes", about: "About who is in a room, by whether all have answered.", unit: "reqps", series: []series{{sum("result", "rotunda_cascade_asked_total", node), "{{result}}"}}},
			{title: "Configuration read", about: "Time since.", unit: "s", series: []series{{`time() - rotunda_config_reload_success_timestamp_seconds{job=~"$job"` + node + `}`, "{{instance}}"}}},
		},
	},
}
