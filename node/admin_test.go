package node

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// admin asks a node's admin address.
func (m *testMesh) admin(node int, method, path string, body io.Reader, header ...string) (status int, answer []byte) {
	m.t.Helper()
	_, admin := m.nodes[node].Addresses()
	q, err := http.NewRequest(method, "http://"+admin.String()+path, body)
	must(m.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	a, err := http.DefaultClient.Do(q)
	must(m.t, err)
	defer a.Body.Close()
	answer, err = io.ReadAll(a.Body)
	must(m.t, err)
	return a.StatusCode, answer
}

// A backup of one mesh's log, restored into another mesh, has its rooms; both verify.
func TestBackupAndRestore(t *testing.T) {
	old := startNodes(t, 1)
	ada := old.guest(0, "Ada")
	room := ada.createRoom("Kept")
	ada.do("PATCH", "/rooms/"+room, map[string]any{"title": "Kept for good"}, nil, http.StatusOK)
	status, backup := old.admin(0, "GET", "/v1/log/backup", nil)
	if status != http.StatusOK || len(backup) == 0 {
		t.Fatalf("backup: %d, %d bytes", status, len(backup))
	}
	verify := func(m *testMesh) {
		t.Helper()
		for _, method := range []string{"GET", "POST"} { // the second one mends, too
			status, answer := m.admin(0, method, "/v1/log/verify", nil)
			var found bool
			for line := range bytes.Lines(answer) {
				var v Verdict
				must(t, json.Unmarshal(line, &v))
				if v.Error != "" || len(v.Mended) > 0 {
					t.Errorf("%+v", v)
				}
				found = found || v.Room == room && v.Seq >= 2
			}
			if status != http.StatusOK || !found {
				t.Errorf("verify: %d %s", status, answer)
			}
		}
	}
	verify(old)
	if status, answer := old.admin(0, "POST", "/v1/log/restore", bytes.NewReader(backup)); status != http.StatusConflict {
		t.Errorf("restoring over rooms: %d %s, want 409", status, answer)
	}

	// An empty log is one that no room was ever created in.
	young := startNodes(t, 1)
	if status, answer := young.admin(0, "POST", "/v1/log/restore", bytes.NewReader(backup), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("a page that restores: %d %s, want 403", status, answer)
	}
	if status, answer := young.admin(0, "POST", "/v1/log/restore", strings.NewReader("rubbish")); status != http.StatusUnprocessableEntity {
		t.Errorf("rubbish restored: %d %s, want 422", status, answer)
	}
	if status, answer := young.admin(0, "POST", "/v1/log/restore", bytes.NewReader(backup)); status != http.StatusNoContent {
		t.Fatalf("restore: %d %s", status, answer)
	}
	verify(young)
	young.eventually("the room is in the directory", func() bool {
		_, answer := young.admin(0, "GET", "/v1/rooms", nil)
		return bytes.Contains(answer, []byte("Kept for good"))
	})
	status, answer := young.admin(0, "GET", "/v1/log/members", nil)
	if status != http.StatusOK || !bytes.Contains(answer, []byte("us-east-1")) {
		t.Errorf("members: %d %s", status, answer)
	}
	if status, _ := young.admin(0, "DELETE", "/v1/log/members/nobody", nil); status != http.StatusNotFound {
		t.Errorf("removing nobody: %d, want 404", status)
	}
}
