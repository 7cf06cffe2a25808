package trace

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"rotunda"
)

func part(node string, streams int) Part {
	p := Part{Node: rotunda.NodeID(node), Region: "eu-west", Listeners: 3, RTT: 12.5, Streams: []Stream{}}
	for i := range streams {
		p.Streams = append(p.Streams, Stream{
			Track: rotunda.Mic(rotunda.UserID(fmt.Sprintf("user-%d", i))), Origin: "home", Epoch: 2, Local: true, Age: 41.2, Oldest: 60,
			Ways: []Way{{Path: []rotunda.NodeID{"relay-1", "home"}, RTT: 80, Heard: true, Lost: .01, Frames: 1000, First: .99}},
		})
	}
	return p
}

func TestPagesComeBack(t *testing.T) {
	want := Page{Parts: []Part{part("a", 2), part("b", 0)}, More: true}
	got, err := Decode(want.Encode())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if after, err := Asked(Question("node-7")); err != nil || after != "node-7" {
		t.Errorf("asked after %q, %v", after, err)
	}
}

// What no node says is not believed.
func TestBadPages(t *testing.T) {
	for name, b := range map[string]string{
		"nothing":         "",
		"another kind":    "\x01{}",
		"no JSON":         "\x03{",
		"more of nothing": "\x03" + `{"more":true}`,
		"no node":         "\x03" + `{"parts":[{"node":"A!","region":"eu"}]}`,
		"twice":           "\x03" + `{"parts":[{"node":"a","region":"eu"},{"node":"a","region":"eu"}]}`,
		"back to front":   "\x03" + `{"parts":[{"node":"b","region":"eu"},{"node":"a","region":"eu"}]}`,
		"negative":        "\x03" + `{"parts":[{"node":"a","region":"eu","listeners":-1}]}`,
		"huge number":     "\x03" + `{"parts":[{"node":"a","region":"eu","listener_rtt_ms":1e999}]}`,
		"no track":        "\x03" + `{"parts":[{"node":"a","region":"eu","streams":[{"track":"\u001b[2J","origin":"a"}]}]}`,
		"no path":         "\x03" + `{"parts":[{"node":"a","region":"eu","streams":[{"track":"program","origin":"a","ways":[{}]}]}]}`,
		"long path":       "\x03" + `{"parts":[{"node":"a","region":"eu","streams":[{"track":"program","origin":"a","ways":[{"path":["a","a","a","a","a","a","a","a","a"]}]}]}]}`,
		"too long":        "\x03" + `{"parts":[]}` + strings.Repeat(" ", PageMax),
	} {
		if p, err := Decode([]byte(b)); err == nil {
			t.Errorf("%s: believed as %+v", name, p)
		}
	}
}

// A mesh of any size is told in pages that fit, each node once, whatever is joined first.
func TestAMeshInPages(t *testing.T) {
	const nodes = 200
	var answers [][]byte
	for i := range nodes {
		answers = append(answers, Own(part(fmt.Sprintf("node-%03d", i), i%12)).Encode())
	}
	seen, after, pages := map[rotunda.NodeID]bool{}, rotunda.NodeID(""), 0
	for ; ; pages++ {
		q := Question(after)
		left, _ := Join(q, answers[:90])
		right, _ := Join(q, answers[80:]) // some are told of twice
		b, ok := Join(q, [][]byte{right, nil, left})
		other, _ := Join(q, [][]byte{left, right})
		p, err := Decode(b)
		if err != nil || !ok || string(b) != string(other) {
			t.Fatalf("page %d: %v, ok %v; the same in another order: %v", pages, err, ok, string(b) == string(other))
		}
		for _, x := range p.Parts {
			if seen[x.Node] || x.Node <= after {
				t.Fatalf("%s comes twice, or after %s", x.Node, after)
			}
			seen[x.Node], after = true, x.Node
		}
		if !p.More {
			break
		}
	}
	if len(seen) != nodes || pages < 5 {
		t.Errorf("%d nodes on %d pages, want %d", len(seen), pages, nodes)
	}
}

// One node's word fits, however many streams it carries.
func TestANodeOfManyStreams(t *testing.T) {
	p := part("a", 400)
	p.Streams = append(p.Streams, Stream{Track: rotunda.Program, Origin: "home", Epoch: 3})
	page := Own(p)
	if n := len(page.Encode()); n > PageMax || len(page.Parts[0].Streams) < 20 {
		t.Errorf("%d octets with %d streams", n, len(page.Parts[0].Streams))
	}
	if page.Parts[0].Streams[0].Track != rotunda.Program {
		t.Error("the program is left out before a microphone is")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Page{Parts: []Part{part("a", 2)}}.Encode())
	f.Add([]byte("\x03{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Merge(p).Encode())
		if err != nil || len(again.Parts) > len(p.Parts) {
			t.Fatalf("%q: merged alone it is %+v, %v", b, again, err)
		}
	})
}
