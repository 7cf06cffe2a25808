package card

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	"rotunda/control/room"
)

// The picture's size in pixels, as messengers show it, and the most bytes that it may have.
const (
	width, height = 1200, 630
	sizeMax       = 100_000
)

// The client's colours in the dark (node/web/src/style/tokens.css).
var (
	paper    = color.RGBA{0x17, 0x12, 0x10, 0xff}
	ink      = color.RGBA{0xf6, 0xeb, 0xdd, 0xff}
	soft     = color.RGBA{0xbc, 0xa9, 0x97, 0xff}
	accent   = color.RGBA{0xee, 0x8a, 0x5f, 0xff}
	onAccent = color.RGBA{0x2a, 0x0f, 0x05, 0xff}
	line     = color.RGBA{0x40, 0x32, 0x2a, 0xff}
	stone    = color.RGBA{0x35, 0x27, 0x1e, 0xff}
	oculus   = color.RGBA{0xff, 0xed, 0xc9, 0xff}
	glow     = color.RGBA{0xa8, 0x68, 0x2a, 0xff}
)

// Where things are, in pixels.
const (
	margin     = 72
	textWide   = 760 // of the title and what stands below it
	domeX      = 985
	domeY      = height / 2
	domeScale  = 1.42
	titleLines = 3
	belowSize  = 34
)

// rings are those of coffers around the oculus, from the inside; the light falls on the inner ones (node/web/src/ui/dome.tsx).
var rings = [...]struct{ inner, outer, lit, seen float64 }{
	{52, 74, 0.55, 0.95}, {82, 112, 0.28, 0.8}, {122, 160, 0, 0.62}, {172, 218, 0, 0.44}, {232, 286, 0, 0.26},
}

// painter draws cards. It is for one goroutine at a time.
type painter struct {
	bold, regular *letters
	dome          *image.RGBA // what is behind every card; never drawn on
	raster        vector.Rasterizer
}

func newPainter() (*painter, error) {
	bold, err := loadBold()
	if err != nil {
		return nil, fmt.Errorf("fonts: %w", err)
	}
	regular, err := loadRegular()
	if err != nil {
		return nil, fmt.Errorf("fonts: %w", err)
	}
	p := &painter{bold: bold, regular: regular, dome: image.NewRGBA(image.Rect(0, 0, width, height))}
	p.drawDome()
	return p, nil
}

// blank is the picture of no room.
func (p *painter) blank() ([]byte, error) {
	to := p.ground()
	if err := p.column(to, product, lead, ""); err != nil {
		return nil, err
	}
	return encode(to)
}

// paint is the picture of a room. What no font here has is left out: the tags say it.
func (p *painter) paint(c Card) ([]byte, error) {
	to := p.ground()
	w := wordsOf(c.Language)
	if said, f := p.bold.drawable(w.live); f == nil || said != w.live {
		w = english
	}
	host := ""
	if name, _ := p.regular.drawable(c.Host); name != "" {
		host = with(w.hosted, name)
	}
	title, _ := p.bold.drawable(c.Title)
	if title == "" {
		title = product
	}
	people := c.people(w)
	if c.Locked {
		people = joined(people, w.locked)
	}
	if err := p.pill(to, c.state(w), c.State == room.Live); err != nil {
		return nil, err
	}
	if err := p.column(to, title, host, people); err != nil {
		return nil, err
	}
	return encode(to)
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + " · " + b
}

func (p *painter) ground() *image.RGBA {
	to := image.NewRGBA(p.dome.Rect)
	copy(to.Pix, p.dome.Pix)
	return to
}

// column draws the title and what stands below it, in the middle between the pill and the product's name at the foot.
func (p *painter) column(to *image.RGBA, title, first, second string) error {
	title, f := p.bold.drawable(title)
	lines, size, err := largest(f, title)
	if err != nil {
		return err
	}
	leading := int(size * 1.16)
	below := []string{}
	for _, each := range []string{first, second} {
		if said, _ := p.regular.drawable(each); said != "" {
			below = append(below, said)
		}
	}
	const top, foot, belowLeading = 148, 540, 50
	y := top + (foot-top-len(lines)*leading-len(below)*belowLeading)/2 + int(size*0.8)
	for _, each := range lines {
		if err := p.say(to, f, size, each, margin, y, ink); err != nil {
			return err
		}
		y += leading
	}
	for i, each := range below {
		said, f := p.regular.drawable(each)
		in, err := face(f, belowSize)
		if err != nil {
			return err
		}
		short, _ := wrap(in, said, textWide, 1)
		if err := p.say(to, f, belowSize, short[0], margin, y, [...]color.RGBA{ink, soft}[i]); err != nil {
			return err
		}
		y += belowLeading
	}
	if title == product {
		return nil
	}
	p.mark(to, margin+22, height-62)
	return p.say(to, p.bold.fonts[0], 34, product, margin+60, height-50, soft)
}

// largest breaks a title into lines of the largest size in which all of it fits, or of the smallest.
func largest(f *sfnt.Font, title string) (lines []string, size float64, err error) {
	for _, size = range []float64{82, 68, 56} {
		in, err := face(f, size)
		if err != nil {
			return nil, 0, err
		}
		var whole bool
		if lines, whole = wrap(in, title, textWide, titleLines); whole {
			break
		}
	}
	return lines, size, nil
}

// pill says in what state the room is; a live one's is filled.
func (p *painter) pill(to *image.RGBA, state string, live bool) error {
	const size, high, pad = 30, 60, 26
	said, f := p.bold.drawable(state)
	if f == nil {
		return nil
	}
	in, err := face(f, size)
	if err != nil {
		return err
	}
	colour, dot, from := onAccent, 0, margin+pad
	fill := accent
	if live {
		dot = 34
	} else {
		fill, colour = line, ink
	}
	p.lozenge(to, margin, 64, wide(in, said)+2*pad+dot, high, fill)
	if live {
		p.disc(to, float64(from+9), 64+high/2, 9, onAccent)
	}
	return p.say(to, f, size, said, from+dot, 64+high/2+11, colour)
}

// say writes one line whose foot is at y.
func (p *painter) say(to *image.RGBA, f *sfnt.Font, size float64, text string, x, y int, colour color.RGBA) error {
	in, err := face(f, size)
	if err != nil {
		return err
	}
	d := font.Drawer{Dst: to, Src: image.NewUniform(colour), Face: in, Dot: fixed.P(x, y)}
	d.DrawString(text)
	return nil
}

// shade is the colour of a ring of coffers.
func shade(lit, seen float64) color.RGBA { return mix(paper, mix(stone, glow, lit), seen) }

// drawDome draws the coffered ceiling, seen from below.
func (p *painter) drawDome() {
	draw.Draw(p.dome, p.dome.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	const segments, rib = 28, 0.18
	for _, ring := range rings {
		p.raster.Reset(width, height)
		for s := range segments {
			step := 2 * math.Pi / segments
			p.coffer(ring.inner*domeScale, ring.outer*domeScale, float64(s)*step+rib*step/2, float64(s+1)*step-rib*step/2)
		}
		p.raster.Draw(p.dome, p.dome.Rect, image.NewUniform(shade(ring.lit, ring.seen)), image.Point{})
	}
	p.disc(p.dome, domeX, domeY, 44*domeScale, mix(paper, oculus, 0.9))
}

// coffer is a ring's segment between two radii and two angles.
func (p *painter) coffer(inner, outer, from, to float64) {
	const steps = 8
	at := func(radius, angle float64) (x, y float32) {
		return float32(domeX + radius*math.Cos(angle)), float32(domeY + radius*math.Sin(angle))
	}
	p.raster.MoveTo(at(inner, from))
	for i := 1; i <= steps; i++ {
		p.raster.LineTo(at(inner, from+(to-from)*float64(i)/steps))
	}
	for i := steps; i >= 0; i-- {
		p.raster.LineTo(at(outer, from+(to-from)*float64(i)/steps))
	}
	p.raster.ClosePath()
}

func (p *painter) disc(to *image.RGBA, x, y, radius float64, colour color.RGBA) {
	side := int(2*radius) + 4
	left, top := int(x-radius)-1, int(y-radius)-1
	p.raster.Reset(side, side)
	const steps = 64
	for i := range steps {
		angle := 2 * math.Pi * float64(i) / steps
		px, py := float32(x-float64(left)+radius*math.Cos(angle)), float32(y-float64(top)+radius*math.Sin(angle))
		if i == 0 {
			p.raster.MoveTo(px, py)
		} else {
			p.raster.LineTo(px, py)
		}
	}
	p.raster.ClosePath()
	p.raster.Draw(to, image.Rect(left, top, left+side, top+side), image.NewUniform(colour), image.Point{})
}

// lozenge is a bar with round ends.
func (p *painter) lozenge(to *image.RGBA, x, y, wide, high int, colour color.RGBA) {
	r := high / 2
	p.disc(to, float64(x+r), float64(y+r), float64(r), colour)
	p.disc(to, float64(x+wide-r), float64(y+r), float64(r), colour)
	draw.Draw(to, image.Rect(x+r, y, x+wide-r, y+high), image.NewUniform(colour), image.Point{}, draw.Src)
}

// mark is the product's sign, a small dome.
func (p *painter) mark(to *image.RGBA, x, y float64) {
	p.disc(to, x, y, 22, accent)
	p.disc(to, x, y, 15, mix(accent, onAccent, 0.35))
	p.disc(to, x, y, 7, oculus)
}

// mix is b over a, as strongly as t says.
func mix(a, b color.RGBA, t float64) color.RGBA {
	part := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + (float64(y)-float64(x))*t)) }
	return color.RGBA{part(a.R, b.R), part(a.G, b.G), part(a.B, b.B), 0xff}
}

// encode is the picture as a PNG of at most sizeMax bytes.
func encode(m *image.RGBA) ([]byte, error) {
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.DefaultCompression}).Encode(&b, fewer(m)); err != nil {
		return nil, err
	}
	if b.Len() > sizeMax {
		return nil, fmt.Errorf("a picture of %d bytes, more than %d", b.Len(), sizeMax)
	}
	return b.Bytes(), nil
}

// fewer is the picture in at most 256 colours, which makes it three times as small: those of its design as they are, and of the
// shades at edges the most frequent.
func fewer(m *image.RGBA) *image.Paletted {
	coarse := func(r, g, b uint8) int { return int(r>>3)<<10 | int(g>>3)<<5 | int(b>>3) }
	var counts [1 << 15]int
	for i := 0; i < len(m.Pix); i += 4 {
		counts[coarse(m.Pix[i], m.Pix[i+1], m.Pix[i+2])]++
	}
	exact := map[int]color.RGBA{}
	design := []color.RGBA{mix(paper, oculus, 0.9), line, soft, onAccent, oculus, accent, ink, paper}
	for _, r := range rings {
		design = append(design, shade(r.lit, r.seen))
	}
	for _, c := range design {
		exact[coarse(c.R, c.G, c.B)] = c
	}
	var used []int
	for c, n := range counts {
		if n > 0 {
			used = append(used, c)
		}
	}
	slices.SortFunc(used, func(a, b int) int { return cmp.Or(counts[b]-counts[a], a-b) })
	var index [1 << 15]uint8
	var palette color.Palette
	for i, c := range used {
		tone, ok := exact[c]
		if !ok {
			tone = color.RGBA{uint8(c>>10<<3 | 4), uint8(c>>5&31<<3 | 4), uint8(c&31<<3 | 4), 0xff}
		}
		if i < 256 {
			palette = append(palette, tone)
			index[c] = uint8(i)
		} else {
			index[c] = uint8(palette.Index(tone))
		}
	}
	out := image.NewPaletted(m.Rect, palette)
	for i := range out.Pix {
		out.Pix[i] = index[coarse(m.Pix[4*i], m.Pix[4*i+1], m.Pix[4*i+2])]
	}
	return out
}
