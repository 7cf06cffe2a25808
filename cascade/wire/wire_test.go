package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"rotunda"
	"rotunda/cascade/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var goldenFrame = rotunda.Frame{
	Seq: 300, Timestamp: 0x01020304, Origin: 1_700_000_000_000_000, Level: 35, Hops: 2,
	Sources: rotunda.SourcesOf(0xaabbccdd, 7), Payload: []byte{0x78, 0xff, 0xfe},
}

// A change of these bytes is a change of the protocol.
const goldenDatagram = `
01
 05 412c 01020304 00060a24181e4000 23 22 aabbccdd 00000007 03 78fffe
 80010000 412c 01020304 00060a24181e4000 23 22 aabbccdd 00000007 03 78fffe`

func TestDatagramGolden(t *testing.T) {
	b := wire.AppendFramesHeader(nil)
	b = wire.AppendFrame(b, 5, &goldenFrame)
	b = wire.AppendFrame(b, 65536, &goldenFrame)
	if want := unhex(t, goldenDatagram); !bytes.Equal(b, want) {
		t.Fatalf("datagram\n %x, want\n %x", b, want)
	}
	typ, rest, err := wire.ParseDatagram(b)
	if typ != wire.Frames || err != nil {
		t.Fatalf("ParseDatagram = %d, %v", typ, err)
	}
	for _, want := range []wire.Alias{5, 65536} {
		var f rotunda.Frame
		var alias wire.Alias
		alias, rest, err = wire.ParseFrame(rest, &f)
		if err != nil || alias != want {
			t.Fatalf("ParseFrame = alias %d, %v; want %d", alias, err, want)
		}
		if d := cmp.Diff(goldenFrame, f, cmp.AllowUnexported(rotunda.Sources{})); d != "" {
			t.Errorf("alias %d: %s", alias, d)
		}
	}
	if len(rest) != 0 {
		t.Errorf("%d octets left over", len(rest))
	}
	if b := wire.AppendHeartbeat(nil); !bytes.Equal(b, []byte{0}) {
		t.Errorf("heartbeat %x, want 00", b)
	}
	for ago, want := range map[time.Duration]byte{-1: 0, 0: 0, 99 * time.Millisecond: 9, 2550 * time.Millisecond: 255, time.Hour: 255} {
		b := wire.AppendHeartbeatHeard(nil, ago)
		if !bytes.Equal(b, []byte{0, want}) {
			t.Errorf("heartbeat, heard %v ago: %x, want 00%02x", ago, b, want)
		}
		_, rest, err := wire.ParseDatagram(b)
		if got, ok := wire.HeartbeatHeard(rest); err != nil || !ok || got != time.Duration(want)*10*time.Millisecond {
			t.Errorf("heartbeat %x: heard %v ago, %t, %v", b, got, ok, err)
		}
	}
}

func TestMissing(t *testing.T) {
	b := wire.AppendMissing(wire.AppendMissing(wire.AppendMissingHeader(nil), 1, 2), 300, 70000)
	if want := unhex(t, "02 01 02 412c 80011170"); !bytes.Equal(b, want) {
		t.Errorf("missing %x, want %x", b, want)
	}
	for _, bad := range []string{"02", "02 01", "02 00 01", "02 01 02 41"} {
		if err := parseAll(unhex(t, bad), new([]byte)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", bad, err)
		}
	}
}

var goldenMessages = []struct {
	name, hex string
	m         wire.Message
}{
	{"hello", "0002 01 04", wire.Hello{Revision: wire.Revision}},
	{"subscribe", "002f 02 07 00000003 04 6b337639 09 6d69632f675f616461 02 0b 75732d656173742d31 2d32 0c 65752d776573742d312d3137",
		wire.Subscribe{Alias: 7, Stream: rotunda.StreamID{Room: "k3v9", Track: "mic/g_ada", Epoch: 3}, Path: []rotunda.NodeID{"us-east-1-2", "eu-west-1-17"}}},
	{"subscribe at the origin", "0012 02 4040 00000000 01 72 07 70726f6772616d 00 ",
		wire.Subscribe{Alias: 64, Stream: rotunda.StreamID{Room: "r", Track: rotunda.Program}}},
	{"unsubscribe", "0005 03 bfffffff", wire.Unsubscribe{Alias: wire.AliasMax}},
	{"gone", "0005 04 07 01 01 61", wire.Gone{Alias: 7, Reason: wire.Unreachable, Node: "a"}},
	{"flood", "0006 05 01 02 616263", wire.Flood{Kind: 1, Hops: 2, Payload: []byte("abc")}},
	{"up", "0005 06 4040 6869", wire.Up{Alias: 64, Payload: []byte("hi")}},
	{"up of nothing", "0002 06 07", wire.Up{Alias: 7, Payload: []byte{}}},
	{"down", "0003 07 07 ff", wire.Down{Alias: 7, Payload: []byte{0xff}}},
	{"ask up", "0010 08 00 4040 00000103 00000000 03e8 6869", wire.Ask{Alias: 64, ID: 259, Wait: 1000, Payload: []byte("hi")}},
	{"ask down", "000e 08 01 07 00000001 00000005 0001 3f", wire.Ask{Down: true, Alias: 7, ID: 1, Round: 5, Wait: 1, Payload: []byte("?")}},
	{"answer up", "000a 09 00 07 00000001 01 6869", wire.Answer{Alias: 7, ID: 1, Complete: true, Payload: []byte("hi")}},
	{"answer down of nothing", "0009 09 01 4040 ffffffff 00", wire.Answer{Down: true, Alias: 64, ID: 1<<32 - 1, Payload: []byte{}}},
	{"resume", "0005 0a 4040 412c", wire.Resume{Alias: 64, From: 300}},
	{"of a newer revision", "0003 ff 0102", wire.Unknown{Type: 255, Body: []byte{1, 2}}},
}

func TestMessageGolden(t *testing.T) {
	for _, g := range goldenMessages {
		want := unhex(t, g.hex)
		if got := wire.AppendMessage(nil, g.m); !bytes.Equal(got, want) {
			t.Errorf("%s\n %x, want\n %x", g.name, got, want)
			continue
		}
		got, err := wire.ParseMessage(want[wire.LengthSize:])
		if err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
		if d := cmp.Diff(g.m, got); d != "" {
			t.Errorf("%s: %s", g.name, d)
		}
	}
}

func TestMalformedDatagrams(t *testing.T) {
	whole := unhex(t, "05 412c 01020304 00060a24181e4000 23 22 aabbccdd 00000007 03 78fffe")
	for name, b := range map[string][]byte{
		"empty":                 nil,
		"unknown type":          {2},
		"heartbeat with more":   {0, 0, 0},
		"no frame":              {1},
		"alias zero":            append([]byte{1, 0}, whole[1:]...),
		"alias too large":       append(unhex(t, "01 c000000040000000"), whole[1:]...),
		"alias not shortest":    append(unhex(t, "01 4005"), whole[1:]...),
		"sequence not shortest": append(unhex(t, "01 05 4001"), whole[3:]...),
		"level 128":             append(unhex(t, "01 05 412c 01020304 00060a24181e4000 80"), whole[16:]...),
		"no payload":            unhex(t, "01 05 01 01020304 00060a24181e4000 23 00 00"),
		"payload too long":      append(unhex(t, "01 05 01 01020304 00060a24181e4000 23 00 43e9"), make([]byte, 1001)...),
		"payload cut":           unhex(t, "01 05 01 01020304 00060a24181e4000 23 00 03 0102"),
		"sources cut":           unhex(t, "01 05 01 01020304 00060a24181e4000 23 0f 03 0102"),
	} {
		if err := parseAll(b, nil); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	for n := range whole {
		if err := parseAll(append([]byte{1}, whole[:n]...), nil); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("first %d octets of a frame: %v, want ErrMalformed", n, err)
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	long := strings.Repeat("61", 65)
	for name, h := range map[string]string{
		"type zero":        "00 00",
		"flood cut":        "05 01",
		"empty flood":      "05 01 00",
		"flood far away":   "05 01 09 61",
		"long flood":       "05 01 00" + strings.Repeat("61", wire.FloodMax+1),
		"up alias 0":       "06 00 61",
		"long up":          "06 07" + strings.Repeat("61", wire.NoteMax+1),
		"long down":        "07 07" + strings.Repeat("61", wire.NoteMax+1),
		"direction 2":      "08 02 07 00000001 00000000 0001 61",
		"ask of nothing":   "08 00 07 00000001 00000000 0001",
		"ask cut":          "08 00 07 00000001 00000000 00",
		"long ask":         "08 00 07 00000001 00000000 0001" + strings.Repeat("61", wire.AskMax+1),
		"ask alias 0":      "08 00 00 00000001 00000000 0001 61",
		"answer cut":       "09 00 07 00000001",
		"complete 2":       "09 00 07 00000001 02",
		"long answer":      "09 00 07 00000001 01" + strings.Repeat("61", wire.AnswerMax+1),
		"hello cut":        "01",
		"hello and more":   "01 01 00",
		"bad room":         "02 07 00000003 01 2f 07 70726f6772616d 00",
		"long room":        "02 07 00000003 41 " + long + " 07 70726f6772616d 00",
		"bad track":        "02 07 00000003 01 72 03 666f6f 00",
		"path of nine":     "02 07 00000003 01 72 07 70726f6772616d 09" + strings.Repeat("0161", 9),
		"path cut":         "02 07 00000003 01 72 07 70726f6772616d 02 0161",
		"bad node":         "02 07 00000003 01 72 07 70726f6772616d 01 0141",
		"reason 0":         "04 07 00 0161",
		"reason 9":         "04 07 09 0161",
		"resume alias 0":   "0a 00 05",
		"resume cut":       "0a 07",
		"resume not short": "0a 07 4005",
		"alias 0":          "03 00",
		"alias not short":  "03 4001",
		"unsubscribe more": "03 01 00",
	} {
		if m, err := wire.ParseMessage(unhex(t, h)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v, %v, want ErrMalformed", name, m, err)
		}
	}
	for _, h := range []string{"", "00", "0000", "3004", "ffff"} {
		if n, err := wire.MessageLength(unhex(t, h)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("length %s: %d, %v, want ErrMalformed", h, n, err)
		}
	}
}

// parseAll parses a datagram and, when again is not nil, encodes it once more into it.
func parseAll(b []byte, again *[]byte) error {
	typ, rest, err := wire.ParseDatagram(b)
	if err != nil {
		return err
	}
	var out []byte
	if typ == wire.Heartbeat {
		if ago, ok := wire.HeartbeatHeard(rest); ok {
			out = wire.AppendHeartbeatHeard(out, ago)
		} else {
			out = wire.AppendHeartbeat(out)
		}
		rest = nil
	} else if typ == wire.Frames {
		out = wire.AppendFramesHeader(out)
	} else {
		out = wire.AppendMissingHeader(out)
	}
	for typ == wire.Missing && len(rest) > 0 {
		var alias wire.Alias
		var seq rotunda.Seq
		if alias, seq, rest, err = wire.ParseMissing(rest); err != nil {
			return err
		}
		out = wire.AppendMissing(out, alias, seq)
	}
	for len(rest) > 0 {
		var f rotunda.Frame
		var alias wire.Alias
		if alias, rest, err = wire.ParseFrame(rest, &f); err != nil {
			return err
		}
		out = wire.AppendFrame(out, alias, &f)
	}
	if again != nil {
		*again = out
	}
	return nil
}

func FuzzDatagram(f *testing.F) {
	f.Add(unhex(f, goldenDatagram))
	f.Add([]byte{0})
	f.Add([]byte{0, 9})
	f.Add(wire.AppendMissing(wire.AppendMissing(wire.AppendMissingHeader(nil), 1, 2), 300, 70000))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		if err := parseAll(b, &again); err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if !bytes.Equal(b, again) {
			t.Fatalf("parsed\n %x, encodes back to\n %x", b, again)
		}
	})
}

func FuzzControl(f *testing.F) {
	for _, g := range goldenMessages {
		f.Add(wire.AppendMessage(nil, g.m)[wire.LengthSize:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.ParseMessage(b)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		if again := wire.AppendMessage(nil, m)[wire.LengthSize:]; !bytes.Equal(b, again) {
			t.Fatalf("parsed\n %x, encodes back to\n %x", b, again)
		}
	})
}

func TestFrameRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rotunda.Frame{
			Seq:       rotunda.Seq(rapid.Uint64Max(1<<62-1).Draw(t, "seq")),
			Timestamp: rapid.Uint32().Draw(t, "timestamp"),
			Origin:    rapid.Int64().Draw(t, "origin"),
			Level:     rapid.Uint8Max(127).Draw(t, "level"),
			Hops:      rapid.Uint8Max(15).Draw(t, "hops"),
			Payload:   rapid.SliceOfN(rapid.Byte(), 1, rotunda.PayloadMax).Draw(t, "payload"),
		}
		for _, s := range rapid.SliceOfN(rapid.Uint32(), 0, rotunda.SourcesMax).Draw(t, "sources") {
			f.Sources.Add(rotunda.SSRC(s))
		}
		alias := wire.Alias(rapid.Uint32Range(1, uint32(wire.AliasMax)).Draw(t, "alias"))
		b := wire.AppendFrame(nil, alias, &f)
		if len(b) > wire.FrameMax {
			t.Fatalf("%d octets, more than FrameMax %d", len(b), wire.FrameMax)
		}
		var got rotunda.Frame
		gotAlias, rest, err := wire.ParseFrame(b, &got)
		if err != nil || gotAlias != alias || len(rest) != 0 {
			t.Fatalf("ParseFrame = %d, %d left, %v", gotAlias, len(rest), err)
		}
		if d := cmp.Diff(f, got, cmp.AllowUnexported(rotunda.Sources{})); d != "" {
			t.Fatal(d)
		}
	})
}

func TestLongestFrameFitsADatagram(t *testing.T) {
	f := rotunda.Frame{Seq: 1<<62 - 1, Hops: 15, Payload: make([]byte, rotunda.PayloadMax)}
	for f.Sources.Add(0xffffffff) {
	}
	b := wire.AppendFrame(wire.AppendFramesHeader(nil), wire.AliasMax, &f)
	if len(b) != 1+wire.FrameMax || len(b) > wire.DatagramMax {
		t.Errorf("%d octets, want 1 + FrameMax %d, at most DatagramMax %d", len(b), wire.FrameMax, wire.DatagramMax)
	}
}

func TestNoFrameAllocates(t *testing.T) {
	buf := make([]byte, 0, wire.DatagramMax)
	var f rotunda.Frame
	garbage := []byte{1, 0x40, 0x01}
	if n := testing.AllocsPerRun(1000, func() {
		b := wire.AppendFrame(wire.AppendFramesHeader(buf), 5, &goldenFrame)
		_, rest, _ := wire.ParseDatagram(b)
		if _, _, err := wire.ParseFrame(rest, &f); err != nil {
			t.Fatal(err)
		}
		if _, _, err := wire.ParseFrame(garbage[1:], &f); err == nil {
			t.Fatal("garbage parsed")
		}
	}); n != 0 {
		t.Errorf("%v allocations per frame, want none", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	buf := make([]byte, 0, wire.DatagramMax)
	f := goldenFrame
	f.Payload = make([]byte, 100)
	var got rotunda.Frame
	b.ReportAllocs()
	for b.Loop() {
		enc := wire.AppendFrame(wire.AppendFramesHeader(buf), 5, &f)
		_, rest, _ := wire.ParseDatagram(enc)
		if _, _, err := wire.ParseFrame(rest, &got); err != nil {
			b.Fatal(err)
		}
	}
}

// What an older peer does not know is not for it.
func TestSince(t *testing.T) {
	for _, g := range goldenMessages {
		want := uint8(1)
		switch g.m.(type) {
		case wire.Flood, wire.Up, wire.Down, wire.Unknown:
			want = 2
		case wire.Ask, wire.Answer, wire.Resume:
			want = 3
		}
		if got := g.m.Since(); got != want {
			t.Errorf("%s is for peers since revision %d, want %d", g.name, got, want)
		}
	}
}

func TestLongestMessages(t *testing.T) {
	for _, m := range []wire.Message{
		wire.Flood{Kind: 255, Hops: rotunda.HopsMax, Payload: make([]byte, wire.FloodMax)},
		wire.Up{Alias: wire.AliasMax, Payload: make([]byte, wire.NoteMax)},
		wire.Down{Alias: wire.AliasMax, Payload: make([]byte, wire.NoteMax)},
		wire.Ask{Alias: wire.AliasMax, Payload: make([]byte, wire.AskMax)},
		wire.Answer{Alias: wire.AliasMax, Payload: make([]byte, wire.AnswerMax)},
	} {
		b := wire.AppendMessage(nil, m)
		if n, err := wire.MessageLength(b); err != nil || n != len(b)-wire.LengthSize {
			t.Errorf("%T: length %d, %v; want %d", m, n, err, len(b)-wire.LengthSize)
		}
		if _, err := wire.ParseMessage(b[wire.LengthSize:]); err != nil {
			t.Errorf("%T: %v", m, err)
		}
	}
}
