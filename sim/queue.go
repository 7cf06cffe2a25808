package sim

import (
	"time"

	"rotunda/cascade/relay"
	"rotunda/cascade/wire"
)

// event is something that will happen: do, or a frame that arrives. Frames are most events, so they need no closure.
type event struct {
	at    time.Duration
	order uint64 // of two at one time the one that was asked for first
	do    func()
	frame *packet
	node  int32 // where the frame arrives
	port  relay.Port
	alias wire.Alias
	hops  uint8
}

// queue is a heap of events with four branches a node, by time and then by order.
type queue struct {
	events []event
	order  uint64
}

func (a *event) before(b *event) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

func (q *queue) push(e event) {
	q.order++
	e.order = q.order
	q.events = append(q.events, e)
	i := len(q.events) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&q.events[up]) {
			break
		}
		q.events[i] = q.events[up]
		i = up
	}
	q.events[i] = e
}

func (q *queue) pop() event {
	first, last := q.events[0], len(q.events)-1
	e := q.events[last]
	q.events[last] = event{}
	q.events = q.events[:last]
	if last == 0 {
		return first
	}
	i := 0
	for {
		least := 4*i + 1
		if least >= last {
			break
		}
		for c := least + 1; c < min(4*i+5, last); c++ {
			if q.events[c].before(&q.events[least]) {
				least = c
			}
		}
		if !q.events[least].before(&e) {
			break
		}
		q.events[i] = q.events[least]
		i = least
	}
	q.events[i] = e
	return first
}
