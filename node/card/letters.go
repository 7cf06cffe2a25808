package card

import (
	"strings"
	"unicode"

	"github.com/go-fonts/dejavu/dejavusansbold"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
)

// letters are fonts in the order in which they are tried. Go's are the fairer ones; DejaVu has the letters of many more
// languages (Yoruba, Hausa, Vietnamese, Georgian, …).
type letters struct {
	fonts []*sfnt.Font
	buf   sfnt.Buffer
}

func loadLetters(files ...[]byte) (*letters, error) {
	l := &letters{}
	for _, file := range files {
		f, err := opentype.Parse(file)
		if err != nil {
			return nil, err
		}
		l.fonts = append(l.fonts, f)
	}
	return l, nil
}

func loadBold() (*letters, error)    { return loadLetters(gobold.TTF, dejavusansbold.TTF) }
func loadRegular() (*letters, error) { return loadLetters(goregular.TTF, dejavusansbold.TTF) }

// sideBySide are the scripts whose characters stand beside each other as they come. All others need a shaper.
var sideBySide = []*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Georgian, unicode.Common, unicode.Inherited,
}

// drawable is text without what is ornament (emoji), and the font that has the rest of it; nil where none has. Half of a title would be
// another title, so it is all or nothing.
func (l *letters) drawable(text string) (string, *sfnt.Font) {
	text = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.So, unicode.Sk, unicode.Cf, unicode.Variation_Selector) {
			return -1
		}
		return r
	}, plain(text))
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "", nil
	}
	for _, f := range l.fonts {
		if l.has(f, text) {
			return text, f
		}
	}
	return "", nil
}

func (l *letters) has(f *sfnt.Font, text string) bool {
	for _, r := range text {
		if !unicode.In(r, sideBySide...) {
			return false
		}
		if i, err := f.GlyphIndex(&l.buf, r); err != nil || i == 0 {
			return false
		}
	}
	return true
}

// face is the font in one size, in pixels.
func face(f *sfnt.Font, size float64) (font.Face, error) {
	return opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
}

// wrap breaks text into at most linesMax lines of at most widthMax pixels: between words where it can, and with "…" where it
// does not fit. whole reports whether all of it is there.
func wrap(f font.Face, text string, widthMax, linesMax int) (lines []string, whole bool) {
	line := ""
	for _, word := range strings.Fields(text) {
		for word != "" {
			next := strings.TrimPrefix(line+" "+word, " ")
			if wide(f, next) <= widthMax {
				line, word = next, ""
				continue
			}
			if line == "" { // one word, longer than a line
				n := fits(f, word, widthMax)
				line, word = word[:n], word[n:]
			}
			if len(lines) == linesMax-1 {
				return append(lines, shortened(f, line, widthMax)), false
			}
			lines, line = append(lines, line), ""
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines, true
}

func wide(f font.Face, s string) int { return font.MeasureString(f, s).Ceil() }

// fits is how many bytes of s, at least one character, are not wider than widthMax.
func fits(f font.Face, s string, widthMax int) int {
	n := 0
	for i, r := range s {
		end := i + len(string(r))
		if n > 0 && wide(f, s[:end]) > widthMax {
			break
		}
		n = end
	}
	return n
}

// shortened is a line that is not the end of what is said.
func shortened(f font.Face, line string, widthMax int) string {
	for line != "" && wide(f, line+"…") > widthMax {
		runes := []rune(line)
		line = string(runes[:len(runes)-1])
	}
	return strings.TrimRight(line, " ,;:.-–—") + "…"
}
