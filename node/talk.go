package node

import (
	"context"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// talkEvery is how often a home tells the log who has talked for how long. The room takes no more than a report in 20 s.
const talkEvery = 30 * time.Second

// reportTalk tells the log who has talked while this node mixed, until h is closed.
func (r *roomServer) reportTalk(ctx context.Context, h *home) {
	t := time.NewTicker(talkEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.done:
			return
		case <-t.C:
		}
		talk := h.takeTalk()
		if len(talk) == 0 {
			continue
		}
		if _, err := r.control.Do(ctx, r.id, room.Actor{System: true}, room.Speaking{Node: r.node, Talk: talk}); err != nil {
			h.returnTalk(talk) // the log is away, or somebody reported just now: next time
		}
	}
}

// takeTalk is how long each person was heard since it was last asked for, in whole seconds; the rest stays for the next time.
func (h *home) takeTalk() map[rotunda.UserID]room.Seconds {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	talk := map[rotunda.UserID]room.Seconds{}
	for u, d := range h.talk {
		if whole := d.Truncate(time.Second); whole > 0 {
			talk[u] = room.Seconds(whole / time.Second)
			h.talk[u] -= whole
		}
	}
	return talk
}

// returnTalk undoes takeTalk.
func (h *home) returnTalk(talk map[rotunda.UserID]room.Seconds) {
	h.mixMu.Lock()
	defer h.mixMu.Unlock()
	for u, s := range talk {
		h.talk[u] += time.Duration(s) * time.Second
	}
}
