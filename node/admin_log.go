package node

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"

	"rotunda/control/etcdlog"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
)

// The operator's verbs for the control log, on the admin address. A backup, a restore and a look at every chain take as long
// as the log is large; they end when the caller goes away.

// restoreMax bounds a backup that is sent in to be restored, in bytes: the size that the store may have.
const restoreMax = 8 << 30

// adminLog adds the verbs to mux.
func (n *Node) adminLog(mux *http.ServeMux) {
	for pattern, do := range map[string]func(http.ResponseWriter, *http.Request, *etcdlog.Log) error{
		"GET /v1/log/members":           listMembers,
		"POST /v1/log/members":          addMember,
		"DELETE /v1/log/members/{name}": removeMember,
		"GET /v1/log/verify":            verifyLog,
		"POST /v1/log/verify":           n.mendLog,
		"GET /v1/log/backup":            backUp,
		"POST /v1/log/restore":          restore,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) {
			log := n.log.Load()
			if log == nil {
				fail(w, http.StatusServiceUnavailable, errors.New("the control log is not open yet"))
				return
			}
			switch err := do(w, q, log); {
			case err == nil:
			case errors.Is(err, etcdlog.ErrUnknownMember):
				fail(w, http.StatusNotFound, err)
			case errors.Is(err, etcdlog.ErrNotEmpty):
				fail(w, http.StatusConflict, err)
			case errors.Is(err, etcdlog.ErrBackup):
				fail(w, http.StatusUnprocessableEntity, err)
			default:
				fail(w, http.StatusInternalServerError, err)
			}
		})
	}
}

// fail answers an operator, who may know everything.
func fail(w http.ResponseWriter, status int, err error) {
	answer(w, status, map[string]string{"error": err.Error()})
}

func listMembers(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	members, err := log.Members(q.Context())
	if err != nil {
		return err
	}
	type row struct {
		Name    string `json:"name"`
		Peer    string `json:"peer"`
		Learner bool   `json:"learner"`
	}
	rows := []row{}
	for _, m := range members {
		rows = append(rows, row(m))
	}
	answer(w, http.StatusOK, rows)
	return nil
}

func addMember(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	var member struct {
		Peer string `json:"peer"`
	}
	if err := json.NewDecoder(io.LimitReader(q.Body, 4096)).Decode(&member); err != nil {
		fail(w, http.StatusBadRequest, err)
		return nil
	}
	if err := log.AddMember(q.Context(), member.Peer); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func removeMember(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	if err := log.RemoveMember(q.Context(), q.PathValue("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Verdict is what `rotunda verify` is told of one room.
type Verdict struct {
	Room      string `json:"room"`
	Seq       uint64 `json:"seq"`
	Hash      string `json:"hash"`
	Folded    uint64 `json:"folded"`
	Kept      int    `json:"kept"`
	Snapshots int    `json:"snapshots"`
	Error     string `json:"error,omitempty"`

	Mended []string `json:"mended,omitempty"` // what was damaged, and has been put right for this answer
}

// VerdictOf is the report of one room's chain, as it is printed.
func VerdictOf(r eventlog.Report) Verdict {
	v := Verdict{Room: string(r.Room), Seq: r.End.Seq, Hash: r.End.Hash.String(), Folded: r.Folded, Kept: r.Kept, Snapshots: r.Snapshots}
	if r.Err != nil {
		v.Error = r.Err.Error()
	}
	return v
}

// verifyLog answers with a line of JSON for each room, as they are looked at; the connection is cut where the log cannot be
// read to its end.
func verifyLog(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	return verify(w, q, log, VerdictOf)
}

// mendLog is verifyLog, and puts right what is damaged in the rooms that this node has a copy of.
func (n *Node) mendLog(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	c := n.fences.Load()
	if c == nil {
		fail(w, http.StatusServiceUnavailable, errors.New("this node does not follow any room yet"))
		return nil
	}
	return verify(w, q, log, func(r eventlog.Report) Verdict {
		if r.Err == nil {
			return VerdictOf(r)
		}
		names, err := c.Mend(q.Context(), r.Room)
		again, unread := eventlog.Verify(q.Context(), log, r.Room)
		if unread != nil {
			again = r
		}
		v := VerdictOf(again)
		v.Mended = names
		if err != nil && v.Error != "" {
			v.Error += "; not mended: " + err.Error()
		}
		return v
	})
}

func verify(w http.ResponseWriter, q *http.Request, log *etcdlog.Log, judge func(eventlog.Report) Verdict) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	err := eventlog.VerifyAll(q.Context(), log, func(r eventlog.Report) error { return out.Encode(judge(r)) })
	if err != nil && !errors.Is(err, eventlog.ErrBroken) {
		panic(http.ErrAbortHandler)
	}
	return nil
}

func backUp(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	if log.Backup(q.Context(), w) != nil {
		panic(http.ErrAbortHandler) // half a backup must not look like a whole one
	}
	return nil
}

// restore reads the whole backup before anything is written: it is checked first.
func restore(w http.ResponseWriter, q *http.Request, log *etcdlog.Log) error {
	file, err := os.CreateTemp("", "rotunda-restore-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := io.Copy(file, http.MaxBytesReader(w, q.Body, restoreMax)); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := log.Restore(q.Context(), file, fence.Chain); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
