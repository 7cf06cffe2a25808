package link

import "time"

// lateMax is how long after its time a copy is still worth sending.
const lateMax = 10 * time.Millisecond

// askedMax is how long after a frame has gone it goes again because the peer asks for it.
const askedMax = 60 * time.Millisecond

// ask has a frame go again that went lately, once: however often the peer asks, it gets no frame twice for that.
func (r *ring) ask(now time.Time, m missed) {
	r.mu.Lock()
	for c := r.first; c > 0 && r.next-c < ringSize && r.wants < len(r.wanted); c-- {
		s := &r.slots[(c-1)%ringSize]
		if now.Sub(s.at) > askedMax && !s.at.IsZero() {
			break
		}
		if s.missed == m {
			if !s.asked && !s.at.IsZero() {
				s.asked = true
				r.wanted[r.wants] = c - 1
				r.wants++
			}
			break
		}
	}
	wants := r.wants > 0
	r.mu.Unlock()
	if wants {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// asked reports whether the peer has asked for frames.
func (r *ring) asked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wants > 0
}

// answer appends the frames that the peer has asked for to b, while they fit into sizeMax octets, and returns how many.
func (r *ring) answer(b []byte, sizeMax int) (_ []byte, frames int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; r.wants > 0; r.wants-- {
		c := r.wanted[r.wants-1]
		s := &r.slots[c%ringSize]
		if r.next-c > ringSize {
			continue // overwritten
		}
		if len(b)+len(s.encoded) > sizeMax {
			break
		}
		b = append(b, s.encoded...)
		frames++
	}
	return b, frames
}

// again appends copies of frames that went a while ago to b, as the windows say, while they fit into sizeMax octets, and
// returns how many. Early copies come before late ones. What is past its window is left out.
func (r *ring) again(now time.Time, b []byte, sizeMax int, windows []window) (_ []byte, frames int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, w := range windows {
		for c := r.oldest(k); *c < r.first; *c++ {
			s := &r.slots[*c%ringSize]
			since := now.Sub(s.at)
			if since < w.from {
				break
			}
			if s.at.IsZero() || since > w.to+lateMax {
				continue
			}
			if len(b)+len(s.encoded) > sizeMax {
				return b, frames
			}
			b = append(b, s.encoded...)
			frames++
		}
	}
	return b, frames
}

// due returns when the next copy has to go by itself; zero when none waits.
func (r *ring) due(windows []window) (at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, w := range windows {
		for c := r.oldest(k); *c < r.first; *c++ {
			if s := &r.slots[*c%ringSize]; !s.at.IsZero() {
				if t := s.at.Add(w.to); at.IsZero() || t.Before(at) {
					at = t
				}
				break
			}
		}
	}
	return at
}

// oldest returns where copy k goes on, behind what has been overwritten. The caller holds the lock.
func (r *ring) oldest(k int) *uint64 {
	if r.next > ringSize {
		r.copied[k] = max(r.copied[k], min(r.next-ringSize, r.first))
	}
	return &r.copied[k]
}
