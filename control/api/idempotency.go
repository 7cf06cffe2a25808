package api

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"rotunda/control"
	"rotunda/control/people"
)

const (
	// keyMax is the longest Idempotency-Key, in bytes.
	keyMax = 128
	// answersMax and answerBytesMax bound what is kept of earlier answers; the oldest go first.
	answersMax     = 4096
	answerBytesMax = 8 << 20
	// answerLife is how long an answer is given again.
	answerLife = 24 * time.Hour
	// bodyTime is how long a body may take to arrive.
	bodyTime = 5 * time.Second
)

// answers keeps what requests with an Idempotency-Key were answered, so that a client that heard nothing can ask again
// without making a second room. It is this node's memory: at another node, or this one after a restart, a repeated command
// is found in the log and answered with what it led to, as it is by then; only a new guest is made again.
// Only answers that say "done" are kept; who was refused may try again.
type answers struct {
	mu    sync.Mutex // guards what follows
	byKey map[answerKey]*answer
	order *list.List // of answerKey, the oldest first
	bytes int
}

// answerKey is whose key it is and for which call.
type answerKey struct{ who, method, path, key string }

type answer struct {
	request [sha256.Size]byte // of the body
	at      time.Time
	running bool
	place   *list.Element

	status int
	header http.Header
	body   []byte
}

func newAnswers() *answers {
	return &answers{byKey: map[answerKey]*answer{}, order: list.New()}
}

// begin returns the answer to give again, or nil where the request is new: then the caller carries it out and calls end.
func (s *answers) begin(now time.Time, k answerKey, request [sha256.Size]byte) (*answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.byKey[k]; a != nil && (a.running || now.Sub(a.at) < answerLife) {
		switch {
		case a.request != request:
			return nil, errKeyMismatch
		case a.running:
			return nil, errKeyRunning
		}
		return a, nil
	}
	s.forget(k)
	a := &answer{request: request, at: now, running: true}
	a.place = s.order.PushBack(k)
	s.byKey[k] = a
	s.trim()
	return nil, nil
}

// end keeps the answer, or forgets that there was a request.
func (s *answers) end(k answerKey, rec *recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.byKey[k]
	if a == nil {
		return // thrown out meanwhile
	}
	if rec.status/100 != 2 || rec.overflow {
		s.forget(k)
		return
	}
	a.running, a.status, a.header, a.body = false, rec.status, http.Header{}, bytes.Clone(rec.body.Bytes())
	for _, name := range []string{"Content-Type", "Location", "Etag"} {
		if v := rec.Header().Get(name); v != "" {
			a.header.Set(name, v)
		}
	}
	s.bytes += len(a.body)
	s.trim()
}

func (s *answers) forget(k answerKey) {
	if a := s.byKey[k]; a != nil {
		s.bytes -= len(a.body)
		s.order.Remove(a.place)
		delete(s.byKey, k)
	}
}

func (s *answers) trim() {
	for s.order.Len() > answersMax || s.bytes > answerBytesMax {
		s.forget(s.order.Front().Value.(answerKey))
	}
}

// replay gives an answer again.
func (an *answer) replay(w http.ResponseWriter) {
	for name, v := range an.header {
		w.Header()[name] = v
	}
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(an.status)
	_, _ = w.Write(an.body)
}

// recorder passes an answer on and keeps a copy of it.
type recorder struct {
	http.ResponseWriter
	status   int
	body     bytes.Buffer
	overflow bool
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.body.Len()+len(b) > answerBytesMax/16 {
		r.overflow = true
	} else {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// once says for whom and up to which length of body a request is carried out once.
type once struct {
	who     string
	bodyMax int
}

// once carries out r, unless it was carried out before under the same Idempotency-Key: then it gives the same answer.
func (a *API) once(w http.ResponseWriter, r *http.Request, o once, do func(http.ResponseWriter, *http.Request)) error {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		do(w, r)
		return nil
	}
	for i := range len(key) {
		if len(key) > keyMax || key[i] < ' ' || key[i] > '~' {
			return errKey
		}
	}
	body, err := io.ReadAll(r.Body) // bounded and timed by admit
	if err != nil {
		return err
	}
	if len(body) > o.bodyMax {
		return errTooLarge
	}
	k := answerKey{o.who, r.Method, r.URL.Path, key}
	before, err := a.answers.begin(a.cfg.Now(), k, sha256.Sum256(body))
	if err != nil {
		return err
	}
	if before != nil {
		before.replay(w)
		return nil
	}
	rec := &recorder{ResponseWriter: w}
	defer a.answers.end(k, rec) // also after a panic: then nothing is kept
	r.Body = io.NopCloser(bytes.NewReader(body))
	// A repetition that reaches another node finds what was done in the log.
	sum := sha256.Sum256(body)
	lasting := strings.Join([]string{o.who, r.Method, r.URL.Path, key, string(sum[:])}, "\n")
	r = r.WithContext(people.WithKey(control.WithKey(r.Context(), lasting), lasting))
	do(rec, r)
	return nil
}
