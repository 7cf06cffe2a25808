package link

import (
	"sync"

	"rotunda/cascade/wire"
)

// outbox holds what waits for the control stream: encoded messages in their order, and the newest note of each stream.
type outbox struct {
	wake chan struct{} // capacity 1; a token when there is something to send. Never closed

	mu    sync.Mutex // guards what follows
	buf   []byte
	notes map[noteKey]wire.Message
	queue []noteKey // of notes, the one that has waited longest first
}

// noteKey is the place of a note: the stream's alias, which is the peer's own where the note goes down.
type noteKey struct {
	alias wire.Alias
	up    bool
}

// put queues m if no more than lenMax octets wait then, and reports whether it did.
func (o *outbox) put(m wire.Message, lenMax int) bool {
	o.mu.Lock()
	ok := len(o.buf)+wire.LengthSize+wire.MessageMax <= lenMax
	if ok {
		o.buf = wire.AppendMessage(o.buf, m)
	}
	o.mu.Unlock()
	o.ring()
	return ok
}

// note queues m in the place of the one before and reports whether there was room.
func (o *outbox) note(k noteKey, m wire.Message) bool {
	o.mu.Lock()
	_, waits := o.notes[k]
	ok := waits || len(o.queue) < notesMax
	if ok {
		o.notes[k] = m
	}
	if ok && !waits {
		o.queue = append(o.queue, k)
	}
	o.mu.Unlock()
	o.ring()
	return ok
}

func (o *outbox) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be sent next, empty when nothing waits: all messages and some notes. spare is used for what comes
// next.
func (o *outbox) take(spare []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.buf
	o.buf = spare
	n := min(notesAtOnce, len(o.queue))
	for _, k := range o.queue[:n] {
		b = wire.AppendMessage(b, o.notes[k])
		delete(o.notes, k)
	}
	if o.queue = o.queue[n:]; len(o.queue) == 0 {
		o.queue = nil
	}
	return b
}
