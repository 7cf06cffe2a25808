package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"rotunda/node/bench"
)

// soakListeners is half of what a core of an older machine carries with packets of 20 ms.
const soakListeners = 400

// soak has a node serve one room for half an hour, or for SOAKTIME, and looks whether anything grows. It is measured only when it is named.
func soak(ctx context.Context, root string) ([]figure, error) {
	last, listeners := 30*time.Minute, soakListeners
	if s := os.Getenv("SOAKTIME"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, fmt.Errorf("SOAKTIME: %v", err)
		}
		last = d
	}
	if s := os.Getenv("SOAKLISTENERS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("SOAKLISTENERS: %v", err)
		}
		listeners = n
	}
	return pinned(ctx, root, func(ctx context.Context, root string, m *mesh) ([]figure, error) {
		room, stop, err := talk(ctx, m.nodes[0].url, 1)
		if err != nil {
			return nil, err
		}
		defer stop()
		r, err := loadFor(ctx, last+loadMax, root, m.nodes[0], room, "--listeners", strconv.Itoa(listeners), "--ramp", "50", "--duration", last.String(), "--raw=false")
		if err != nil {
			return nil, err
		}
		if r.Growth == nil || r.ServerCorePercent == nil {
			return nil, errors.New("rotunda bench has too few samples of the server: last longer")
		}
		first, middle, end := r.Samples[0], r.Samples[len(r.Samples)/2], r.Samples[len(r.Samples)-1]
		said := func(s bench.Sample) string {
			return fmt.Sprintf("%.1f MiB, %d", float64(s.Resident)/(1<<10), s.Goroutines)
		}
		return []figure{{fmt.Sprintf("soak: memory and goroutines of a node with %d listeners", listeners),
			fmt.Sprintf("%s → %s → %s", said(first), said(middle), said(end)), "≤ +5 %, 0 more",
			fmt.Sprintf("at the start, the middle and the end of %v; last quarter against the second: %+.1f %% and %+.1f %%; %.0f %% of a core; %d of %d packets lost, %d listeners gone",
				last, r.Growth.Resident, r.Growth.Goroutines, *r.ServerCorePercent, r.Lost, r.Packets+uint64(r.Lost), r.Gone)}}, nil
	})
}
