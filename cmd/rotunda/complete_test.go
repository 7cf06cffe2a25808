package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// The scripts are ones that the shell takes, and TAB completes verbs, rooms and nodes.
func TestCompletion(t *testing.T) {
	status, script, _ := call(t, "completion", "bash")
	check := exec.Command("bash", "-n")
	check.Stdin = strings.NewReader(script)
	if out, err := check.CombinedOutput(); status != exitDone || err != nil || len(script) < 1000 {
		t.Errorf("status %d; bash: %v %s", status, err, out)
	}
	for _, shell := range []string{"zsh", "fish"} {
		if status, script, _ := call(t, "completion", shell); status != exitDone || !strings.Contains(script, "rotunda") {
			t.Errorf("%s: status %d, %d octets", shell, status, len(script))
		}
	}
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/v1/rooms":
			w.Write([]byte(`[{"id":"k3v9","state":"live","title":"Tides"},{"id":"old1","state":"ended","title":"Gone"}]`))
		case "/v1/members":
			w.Write([]byte(`[{"id":"fra-1","region":"eu-central","state":"alive"},{"id":"lhr-1","region":"eu-west","state":"dead"}]`))
		default:
			http.NotFound(w, q)
		}
	}))
	defer node.Close()
	for _, tc := range []struct{ args, want, not string }{
		{"tr", "trace", "token"},
		{"trace --admin " + node.URL + " ''", "k3v9\tTides", "old1"},
		{"drain --admin " + node.URL + " ''", "fra-1\teu-central, alive", "lhr-1"},
		{"trace --admin 127.0.0.1:1 ''", ":4", "k3v9"},
	} {
		args := strings.Fields(tc.args)
		if last := &args[len(args)-1]; *last == "''" {
			*last = ""
		}
		_, out, _ := call(t, append([]string{"__complete"}, args...)...)
		if !strings.Contains(out, tc.want) || strings.Contains(out, tc.not) {
			t.Errorf("TAB after %q: %q, want %q and not %q", tc.args, out, tc.want, tc.not)
		}
	}
}

func TestVersionForMachines(t *testing.T) {
	_, out, _ := call(t, "version", "--json")
	var v versions
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if v.Version == "" || v.Revision == "" || v.Links.ALPN != "rotunda/1" || v.Links.Revision < v.Links.Oldest || v.Links.Oldest < 1 {
		t.Errorf("%s", out)
	}
}
