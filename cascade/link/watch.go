package link

import (
	"context"
	"time"

	"rotunda/cascade/wire"
)

// SetBusy says whether the link carries streams: then its peer's silence is noticed sooner, which costs heartbeats.
func (l *Link) SetBusy(busy bool) {
	if l.busy.Swap(busy) != busy {
		l.peerBusy.Store(false)
	}
}

// quick reports whether this end sends often, and says what it hears.
func (l *Link) quick() bool {
	return l.busy.Load() && l.revision.Load() >= wire.SinceHeard
}

// expects reports whether the peer is known to send as often. It finds out by itself that the link carries streams, a way
// later or more, and until then may be silent for longer without being suspected.
func (l *Link) expects() bool { return l.quick() && l.peerBusy.Load() }

func every(quick bool) time.Duration {
	if quick {
		return quickEvery
	}
	return heartbeatEvery
}

// heartbeat writes the next heartbeat into buf: for a peer that takes it, one that says when it was heard.
func (l *Link) heartbeat(buf []byte) []byte {
	if l.quick() {
		return wire.AppendHeartbeatHeard(buf, time.Duration(l.unheard.Load())*quickEvery)
	}
	return wire.AppendHeartbeat(buf)
}

// watch gives the peer up when nothing comes from it, or when Close says so, and tells the handler what it fears before.
// Who may send no word in one direction would never learn of it by listening: so each end says what it hears.
func (l *Link) watch(ctx context.Context, h Handler) error {
	quick, suspect, strained, last := false, false, 0, int64(0)
	tick := time.NewTicker(every(quick))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case why := <-l.closing:
			return why
		case <-tick.C:
		}
		if q := l.expects(); q != quick {
			quick = q
			tick.Reset(every(quick))
			l.silent.Store(min(l.silent.Load(), 0)) // counted in ticks of the other length
			last = 0
		}
		before, silent, deaf := last, l.silent.Add(1), l.deaf.Add(-1) >= 0
		last = silent
		if strained--; quick && silent <= before && before >= strainTicks {
			strained = strainMax
		}
		limit, dead := int64(suspectTicks), int64(silentTicks)
		if strained > 0 {
			limit = strainedTicks
		}
		if quick {
			dead = quickTicks
		}
		if silent >= dead {
			return ErrSilent
		}
		unheard := quick && silent >= limit
		if l.unheard.Store(0); unheard {
			l.unheard.Store(silent)
		}
		if is := unheard || quick && deaf; is != suspect {
			suspect = is
			h.Suspect(is)
		}
	}
}
