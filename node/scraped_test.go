package node

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Who scrapes sees metrics and health and nothing else: no room, no member, no backup, no profile, and no order is obeyed.
func TestScrapersGiveNoOrders(t *testing.T) {
	m := startNodes(t, 1)
	at := "http://" + m.nodes[0].scraped.Addr().String()
	ask := func(method, path string) (int, string) {
		t.Helper()
		q, err := http.NewRequest(method, at+path, strings.NewReader(`{"node":"us-east-1","deadline":"0s"}`))
		must(t, err)
		a, err := http.DefaultClient.Do(q)
		must(t, err)
		defer a.Body.Close()
		b, err := io.ReadAll(a.Body)
		must(t, err)
		return a.StatusCode, string(b)
	}
	for path, want := range map[string]string{"/metrics": "rotunda_build_info", "/healthz": "true", "/readyz": "us-east-1"} {
		if status, body := ask("GET", path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s: %d %.80q, want %q in it", path, status, body, want)
		}
	}
	for _, call := range []string{
		"POST /v1/drain", "DELETE /v1/drain", "GET /v1/members", "GET /v1/rooms", "GET /v1/rooms/k3v9q7m2x4ab/trace", "GET /v1/log/members",
		"POST /v1/log/members", "DELETE /v1/log/members/us-east-1", "GET /v1/log/verify", "POST /v1/log/verify", "GET /v1/log/backup",
		"POST /v1/log/restore", "GET /debug/pprof/", "GET /debug/pprof/profile",
	} {
		method, path, _ := strings.Cut(call, " ")
		if status, body := ask(method, path); status != http.StatusNotFound {
			t.Errorf("%s: %d %.80q, want 404", call, status, body)
		}
	}
	if _, draining := m.nodes[0].drain.deadline(); draining {
		t.Error("the node obeys who scrapes")
	}
	if got := m.adminDo(0, "GET", "/v1/members", ""); got != http.StatusOK {
		t.Errorf("the admin address answers %d", got)
	}
}
