package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What restarts a node asks whether it lives, what sends people whether it is ready; a node that is drained lives and is not ready.
func TestHealth(t *testing.T) {
	ready := `{"ready":true}`
	status := http.StatusOK
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"ok":true}`)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); w.Write([]byte(ready)) })
	node := httptest.NewServer(mux)
	defer node.Close()
	admin := strings.TrimPrefix(node.URL, "http://")
	expect := func(want int, says string, args ...string) {
		t.Helper()
		if got, stdout, stderr := call(t, append(append([]string{"health"}, args...), "--admin", admin)...); got != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("health %v = %d %q %q, want %d %q", args, got, stdout, stderr, want, says)
		}
	}
	expect(exitDone, "good")
	expect(exitDone, "good", "--ready")
	ready = `{"ready":true,"degraded":"the control log does not answer"}`
	expect(exitDone, "good, but the control log does not answer", "--ready")
	ready, status = `{"ready":false,"reason":"draining"}`, http.StatusServiceUnavailable
	expect(exitDone, "good")
	expect(exitFailed, "takes nobody: draining", "--ready")
}
