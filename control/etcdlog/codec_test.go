package etcdlog

import (
	"bytes"
	"encoding/hex"
	"testing"

	"rotunda/control/eventlog"
	"rotunda/control/eventlog/eventlogtest"
)

func someSegment(tb testing.TB) eventlog.Segment {
	entries, _ := eventlog.Batch{Records: eventlogtest.Records("9", "10", "11", "20")}.Entries("r")
	s, _, err := eventlog.Fold("r", eventlog.Position{}, entries, eventlogtest.Tens)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// The bytes in the store are what later versions have to read.
func TestFormatsAreGolden(t *testing.T) {
	snapshot := encodeSnapshot(eventlog.NewSnapshot("r", eventlog.Position{Seq: 7, Hash: eventlog.Hash{1}}, []byte("state")))
	if got, want := hex.EncodeToString(snapshot), "0100000000000000070100000000000000000000000000000000000000000000000000000000000000664c741d678aec17d1b963c4f04a2c1d1194039d6b28ed529c3cfbb857e425487374617465"; got != want {
		t.Errorf("snapshot %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(encodeSegment(someSegment(t))), "010000000000000000000000000000000000000000000000000000000000000000000000000000000000000004eccae72d988d577f42210fb9af5f449cf9510e216ba4d53f2186d3c3d4f1a7111c85e0314381086b1271e3b43e6e588191cd23ccbe93a2e5329bba7a4539766d0849d94d45674fa6973044b5ff1128323f59109cc062ad1e9e6a82445065983700d9ea4cffc772f1677657b41e53c7d77823cedd81c2127dae787cdcd229169b00000000000000020000002901761527790192e9990a16ccdd2758f4181fa24df1040e5c2a68dcf8854023213c0569642d3130313000000000000000040000002901b55825621206c4e181a2472aa58a3adf162a137e615f8dee8eb5279b4872909d0569642d32303230"; got != want {
		t.Errorf("segment %s, want %s", got, want)
	}
}

func FuzzDecodeSegment(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeSegment(someSegment(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSegment(b)
		if err != nil {
			return
		}
		if again := encodeSegment(s); !bytes.Equal(again, b) {
			t.Errorf("%x decodes and encodes to %x", b, again)
		}
		_, _ = s.End("r")
	})
}

func FuzzReadBackup(f *testing.F) {
	f.Add([]byte(backupMagic))
	f.Add([]byte(backupMagic + "\x00\x00\x00\x0e" + prefix + "x/" + "\x00\x00\x00\x01v\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := ""
		_ = readBackup(bytes.NewReader(b), func(key string, _ []byte) error {
			if key <= before {
				t.Errorf("%q after %q", key, before)
			}
			before = key
			return nil
		})
	})
}
