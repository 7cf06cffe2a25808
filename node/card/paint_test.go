package card

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rotunda/control/room"
)

// drawn is a picture of it, kept where `go test -artifacts` says.
func drawn(t *testing.T, p *painter, name string, c Card) *image.Paletted {
	t.Helper()
	b, err := p.paint(c)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if m.Bounds() != image.Rect(0, 0, width, height) || len(b) > sizeMax {
		t.Errorf("%s: %v in %d bytes", name, m.Bounds(), len(b))
	}
	return m.(*image.Paletted)
}

// count is how many pixels of a part are of that colour.
func count(m *image.Paletted, in image.Rectangle, want color.RGBA) (n int) {
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			if m.Palette[m.ColorIndexAt(x, y)] == want {
				n++
			}
		}
	}
	return n
}

// inColumn checks that what is written stays in its column: beside it there is the dome, but for what having fewer colours costs.
func inColumn(t *testing.T, p *painter, name string, m *image.Paletted) {
	t.Helper()
	off := func(a, b uint8) bool { return max(a, b)-min(a, b) > 8 }
	for y := range height {
		for x := margin + textWide; x < width; x++ {
			a, b := m.Palette[m.ColorIndexAt(x, y)].(color.RGBA), p.dome.RGBAAt(x, y)
			if off(a.R, b.R) || off(a.G, b.G) || off(a.B, b.B) {
				t.Fatalf("%s: something is drawn at %d, %d", name, x, y)
			}
		}
	}
}

func alike(a, b *image.Paletted) bool { return slices.Equal(a.Pix, b.Pix) }

func newTestPainter(t *testing.T) *painter {
	t.Helper()
	p, err := newPainter()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var (
	pillAt  = image.Rect(margin, 64, 700, 124)
	titleAt = image.Rect(margin, 150, margin+textWide, 540)
)

func TestWhatIsDrawn(t *testing.T) {
	p := newTestPainter(t)
	scheduled := tides
	scheduled.State, scheduled.StartsAt, scheduled.Locked = room.Scheduled, time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC), true
	ended := tides
	ended.State = room.Ended
	long := tides
	long.Title = "A very long title that goes on and on about tides, sandbanks, lighthouses, keepers of lighthouses and gulls"
	for _, c := range []struct {
		name string
		card Card
		live bool
	}{{"live", tides, true}, {"scheduled", scheduled, false}, {"ended", ended, false}, {"long", long, true}} {
		m := drawn(t, p, c.name, c.card)
		if filled := count(m, pillAt, accent) > 3000; filled != c.live {
			t.Errorf("%s: filled as a live room's: %v", c.name, filled)
		}
		if n := count(m, titleAt, ink); n < 5000 {
			t.Errorf("%s: %d pixels of a title", c.name, n)
		}
		inColumn(t, p, c.name, m)
	}
}

// What no font here has is not drawn at all: the picture is then the product's, never a row of boxes.
func TestScriptsThatAreNotThere(t *testing.T) {
	p := newTestPainter(t)
	nameless := tides
	nameless.Title = product
	want := drawn(t, p, "nameless", nameless)
	for _, title := range []string{"غرفة عربية", "हिन्दी का कमरा", "日本語の部屋", "mixed עברית title", "👏👏", ""} {
		c := tides
		c.Title = title
		m := drawn(t, p, "absent", c)
		if !alike(m, want) {
			t.Errorf("%q is drawn", title)
		}
	}
	arabic := tides
	arabic.Language, arabic.Title, arabic.Host = "ar", "غرفة عربية", "عائشة"
	m := drawn(t, p, "arabic", arabic)
	if count(m, pillAt, onAccent) < 200 {
		t.Error("nothing says that it is live")
	}
	for name, title := range map[string]string{"yoruba": "ẹ̀kọ́ Yorùbá pẹ̀lú Ṣọlá", "hausa": "Ɓangaren ƙasa da ɗaki", "vietnamese": "Chuyện đêm khuya Hà Nội", "greek": "Ραδιόφωνα", "cyrillic": "Вечер у радио", "georgian": "საღამო რადიოსთან", "emoji": "Jazz 🎷 & friends 👩‍👩‍👧‍👦"} {
		c := tides
		c.Title = title
		if m := drawn(t, p, name, c); alike(m, want) {
			t.Errorf("%q is not drawn", title)
		}
	}
}

func TestHostileTitlesAreDrawnInBounds(t *testing.T) {
	p := newTestPainter(t)
	for _, title := range hostile {
		c := tides
		c.Title, c.Host = title, title
		inColumn(t, p, title, drawn(t, p, "hostile", c))
	}
}

func TestWrap(t *testing.T) {
	p := newTestPainter(t)
	f, err := face(p.bold.fonts[0], 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text  string
		lines int
		whole bool
	}{{"one", 1, true}, {"some words that need more than one line", 2, true}, {"", 0, true}, {string(bytes.Repeat([]byte("w"), 400)), 3, false}} {
		lines, whole := wrap(f, c.text, textWide, titleLines)
		if len(lines) != c.lines || whole != c.whole {
			t.Errorf("%.20q: %d lines, whole %v; want %d, %v", c.text, len(lines), whole, c.lines, c.whole)
		}
		for _, l := range lines {
			if wide(f, l) > textWide {
				t.Errorf("%.20q: the line %q is too wide", c.text, l)
			}
		}
	}
}

func BenchmarkPaint(b *testing.B) {
	p, err := newPainter()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.paint(tides); err != nil {
			b.Fatal(err)
		}
	}
}
