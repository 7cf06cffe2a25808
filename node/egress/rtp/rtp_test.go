package rtp

import (
	"bytes"
	"encoding/hex"
	"testing"

	"rotunda"
)

func TestHeader(t *testing.T) {
	sources := rotunda.SourcesOf(0x11, 0x22)
	none := rotunda.SourcesOf()
	for _, c := range []struct {
		name string
		h    Header
		want string
	}{
		{"plain", Header{PayloadType: 111, Sequence: 0x0102, Timestamp: 0x03040506, SSRC: 0x0708090a, Sources: &none}, "806f0102030405060708090a"},
		{"marker, speakers, level", Header{PayloadType: 63, Marker: true, Sequence: 1, Timestamp: 2, SSRC: 3, Sources: &sources, LevelID: 14, Level: 25},
			"92bf000100000002000000030000001100000022bede0001e0990000"},
		{"level of silence", Header{PayloadType: 96, Sources: &none, LevelID: 1, Level: 127}, "906000000000000000000000bede0001107f0000"},
	} {
		var b [HeaderMax]byte
		if got := hex.EncodeToString(b[:c.h.Put(b[:])]); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRedundant(t *testing.T) {
	earlier := []Block{{1920, []byte{1, 2}}, {960, []byte{3}}}
	got := AppendRedundant(nil, 111, earlier, []byte{4, 5})
	want := "ef1e0002" + "ef0f0001" + "6f" + "0102" + "03" + "0405"
	if hex.EncodeToString(got) != want {
		t.Errorf("%x, want %s", got, want)
	}
	Retype(got, 96)
	if want := "e01e0002" + "e00f0001" + "60" + "0102" + "03" + "0405"; hex.EncodeToString(got) != want {
		t.Errorf("retyped: %x, want %s", got, want)
	}
	long := []Block{{1920, make([]byte, 600)}, {960, make([]byte, 600)}}
	if got := AppendRedundant(nil, 111, long, make([]byte, 100)); len(got) != 4+1+600+100 {
		t.Errorf("%d bytes, want the newest of two long blocks only", len(got))
	}
	if got := AppendRedundant(nil, 111, []Block{{1 << 14, []byte{1}}}, []byte{9}); !bytes.Equal(got, []byte{111, 9}) {
		t.Errorf("%x: a block that is too old", got)
	}
}

func TestReportsWritten(t *testing.T) {
	b := AppendSenderReport(nil, SenderReport{SSRC: 7, NTP: 0x0102030405060708, Timestamp: 9, Packets: 10, Octets: 11}, "abc")
	want := "80c80006" + "00000007" + "0102030405060708" + "00000009" + "0000000a" + "0000000b" + "81ca0003" + "00000007" + "0103616263" + "000000"
	if hex.EncodeToString(b) != want {
		t.Errorf("%x, want %s", b, want)
	}
	if b := AppendBye(nil, 7, ""); hex.EncodeToString(b) != "80c90001"+"00000007"+"81ca0002"+"00000007"+"01000000"+"81cb0001"+"00000007" {
		t.Errorf("bye: %x", b)
	}
}

func TestReportsRead(t *testing.T) {
	b, _ := hex.DecodeString("81c90007" + "00000001" + "00000007" + "40000005" + "00010002" + "00000030" + "11223344" + "00008000" +
		"81cd0003" + "00000001" + "00000007" + "00640005")
	p, rest, ok := Next(b)
	r, isReport := p.Report(0)
	if !ok || !isReport || r != (Report{SSRC: 7, Lost: 64, HighestIndex: 0x10002, Jitter: 0x30, LastReport: 0x11223344, SinceReport: 0x8000}) {
		t.Errorf("%+v %v %v", r, ok, isReport)
	}
	if _, more := p.Report(1); more {
		t.Error("a second report of one")
	}
	p, rest, ok = Next(rest)
	ssrc, m, isMissing := p.Missing(0)
	if !ok || !isMissing || ssrc != 7 || m != (Missing{100, 5}) {
		t.Errorf("%d %+v %v %v", ssrc, m, ok, isMissing)
	}
	if _, _, more := p.Missing(1); more || len(rest) != 0 {
		t.Error("more than one entry")
	}
}

// What parses is within the bytes, whatever the counts in it say.
func FuzzRTCP(f *testing.F) {
	f.Add(AppendSenderReport(nil, SenderReport{SSRC: 7}, "abc"))
	f.Add([]byte{0x9f, 201, 0, 1, 0, 0, 0, 1})
	f.Add([]byte{0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 7, 0, 100, 0, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for p, rest, ok := Next(b); ok; p, rest, ok = Next(rest) {
			n += 4 + len(p.Body)
			for i := 0; ; i++ {
				if _, ok := p.Report(i); !ok {
					break
				}
			}
			for i := 0; ; i++ {
				if _, _, ok := p.Missing(i); !ok {
					break
				}
			}
		}
		if n > len(b) {
			t.Errorf("%d bytes of packets in %d", n, len(b))
		}
	})
}

func TestPacketsAllocateNothing(t *testing.T) {
	sources := rotunda.SourcesOf(1, 2, 3)
	h := Header{Sources: &sources, LevelID: 1}
	b, dst := make([]byte, HeaderMax), make([]byte, 0, 1500)
	earlier, own := []Block{{960, make([]byte, 80)}}, make([]byte, 80)
	if n := testing.AllocsPerRun(100, func() {
		h.Put(b)
		AppendRedundant(dst, 111, earlier, own)
		AppendSenderReport(dst, SenderReport{}, "name")
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}
