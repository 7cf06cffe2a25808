package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"

	"rotunda/control"
)

// requestHeader carries a request's id, both ways.
const requestHeader = "X-Request-Id"

// requestWords are the ids that are taken over from a caller: they go into logs and answers. A traceparent (W3C Trace Context) gives its trace.
var (
	requestWords = regexp.MustCompile(`^[A-Za-z0-9._-]{8,64}$`)
	traceWords   = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// RequestID is the id of the request that ctx belongs to; "" where there is none.
func RequestID(ctx context.Context) string { return control.Request(ctx) }

// Identified gives every request under /v1 an id, the caller's own where it is well formed, and says it in the answer: what a person reports can
// be found in the logs of node and proxy.
func Identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") || RequestID(r.Context()) != "" {
			next.ServeHTTP(w, r)
			return
		}
		id := requestID(r.Header)
		w.Header().Set(requestHeader, id)
		next.ServeHTTP(w, r.WithContext(control.WithRequest(r.Context(), id)))
	})
}

func requestID(h http.Header) string {
	if id := h.Get(requestHeader); requestWords.MatchString(id) {
		return id
	}
	if trace := traceWords.FindStringSubmatch(h.Get("Traceparent")); trace != nil && strings.Trim(trace[1], "0") != "" {
		return trace[1]
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// moderation are the calls that a host makes about others, and what changes a room for all: each is a line in the log; that
// a room begins or ends has one of package control, since the mesh ends rooms too. What people do about themselves is in the room's own log alone:
// there may be ten thousand raised hands.
var moderation = map[string]bool{
	"setRole": true, "mute": true, "remove": true, "warn": true, "unban": true, "approve": true, "deny": true, "invite": true, "muteAll": true,
	"lock": true, "unlock": true,
}
