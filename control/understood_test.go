package control

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"rotunda/control/eventlog"
	"rotunda/control/room"
)

// knownTypes has every event of package room that a log may have.
func TestKnownTypes(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "room/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "EventType" {
			return true
		}
		if spec.Names[0].Name == "EventWithheld" {
			return true // it is for feeds, and in no log
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if n++; !slices.Contains(knownTypes, room.EventType(value)) {
			t.Errorf("%s is not among knownTypes", spec.Names[0].Name)
		}
		return true
	})
	if n != len(knownTypes) || n < 20 {
		t.Errorf("package room has %d events, knownTypes %d", n, len(knownTypes))
	}
}

// A node that meets events of a newer version leaves snapshots of that room to the newer nodes.
func TestNoSnapshotOfWhatIsNotUnderstood(t *testing.T) {
	for _, data := range []string{`{"seq":2,"type":"sparkled"}`, `{"seq":2,"type":"muted","user":"bob","until":"tomorrow"}`} {
		bubble(t, func(t *testing.T, log *faulty) {
			n := start(t, log, "n1")
			synctest.Wait()
			id := n.create("Talk")
			b := eventlog.Batch{After: headOf(t, log, id), Records: []eventlog.Record{{ID: "newer", Data: []byte(data)}}}
			if _, err := log.Append(t.Context(), id, b); err != nil {
				t.Fatal(err)
			}
			for i := range snapshotEvery + 50 {
				n.do(id, ada, room.Publish{Node: "n1"})
				if i%50 == 0 {
					synctest.Wait()
				}
			}
			if s, err := log.Snapshots(t.Context(), id); err != nil || len(s) != 0 {
				t.Errorf("%s: %d snapshots, %v", data, len(s), err)
			}
		})
	}
}
