// Package chart draws figures as SVG pictures, for documents: lines, ranges, bars and a matrix. It is for a handful of
// pictures of one kind, not for all that can be drawn.
//
// The invariant: the same figures give the same bytes, and every picture can be read on a light page and on a dark one: it
// carries its own background and follows the reader's colour scheme. All functions are pure.
package chart

import (
	"fmt"
	"math"
	"strings"
)

// Frame is what all pictures have.
type Frame struct {
	Title string
	Note  string // below the title, smaller
	X, Y  string // what the axes show, with the unit
	XMax  float64
	YMax  float64
	// Percent says that Y is a share, from 0 to 1.
	Percent bool
}

// Series is one line. Its points go from left to right.
type Series struct {
	Name   string
	Points [][2]float64
}

// Mark is a vertical line with a word, such as a target.
type Mark struct {
	At   float64
	Name string
}

const (
	width  = 760
	left   = 64
	right  = 24
	top    = 76
	bottom = 56
)

// style is the colours of both schemes. The series' colours are those of Okabe and Ito (2008), which people with any colour
// vision tell apart, lightened for the dark page.
const style = `<style>
svg{--page:#fff;--ink:#1c2024;--soft:#60666d;--grid:#e4e7ea;--a:#0072b2;--b:#d55e00;--c:#009e73;--heat:0,114,178}
@media(prefers-color-scheme:dark){svg{--page:#15181c;--ink:#e8eaed;--soft:#9aa1a9;--grid:#2b3036;--a:#56b4e9;--b:#f0904a;--c:#3fc99b;--heat:86,180,233}}
text{font:13px system-ui,sans-serif;fill:var(--ink)}
.title{font-size:17px;font-weight:600}.soft{fill:var(--soft)}.small{font-size:11px}
.end{text-anchor:end}.mid{text-anchor:middle}
.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.mark{stroke:var(--soft);stroke-dasharray:4 4}
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}
</style>
`

var colours = []string{"var(--a)", "var(--b)", "var(--c)"}

// canvas is a picture being drawn.
type canvas struct {
	strings.Builder
	height     int
	xMax, yMax float64
	plotHeight float64
}

func (f Frame) canvas(height int) *canvas {
	c := &canvas{height: height, xMax: f.XMax, yMax: f.YMax, plotHeight: float64(height - top - bottom)}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n", width, height, width, height, escape(f.Title))
	c.WriteString(style)
	fmt.Fprintf(c, `<rect width="%d" height="%d" rx="8" fill="var(--page)"/>`+"\n", width, height)
	c.text(20, 30, "title", f.Title)
	c.text(20, 50, "soft", f.Note)
	return c
}

func (c *canvas) x(v float64) float64 { return left + v/c.xMax*(width-left-right) }

func (c *canvas) y(v float64) float64 { return top + c.plotHeight*(1-v/c.yMax) }

func (c *canvas) text(x, y float64, class, s string) {
	if s != "" {
		fmt.Fprintf(c, `<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, escape(s))
	}
}

func (c *canvas) rule(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", class, x1, y1, x2, y2)
}

func (c *canvas) done() string {
	c.WriteString("</svg>\n")
	return c.String()
}

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// step is a round distance between lines of the grid, for some five of them.
func step(most float64) float64 {
	raw := most / 5
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= raw {
			return m * unit
		}
	}
	return 10 * unit
}

func number(v float64) string {
	s := fmt.Sprintf("%.2f", v)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// axes draws grid, figures and words of both axes; vertical ones only if there are figures for them.
func (c *canvas) axes(f Frame) {
	for v, s := 0.0, step(f.XMax); v <= f.XMax*1.0001; v += s {
		c.rule("grid", c.x(v), top, c.x(v), top+c.plotHeight)
		c.text(c.x(v), top+c.plotHeight+18, "mid small soft", number(v))
	}
	if f.YMax > 0 {
		for v, s := 0.0, step(f.YMax); v <= f.YMax*1.0001; v += s {
			c.rule("grid", left, c.y(v), width-right, c.y(v))
			label := number(v)
			if f.Percent {
				label = number(100*v) + " %"
			}
			c.text(left-8, c.y(v)+4, "end small soft", label)
		}
	}
	c.rule("axis", left, top+c.plotHeight, width-right, top+c.plotHeight)
	c.text((left+width-right)/2, float64(c.height)-14, "mid soft", f.X)
	c.text(left, top-8, "small soft", f.Y)
}

// Lines draws series over one another, with their names where they end.
func Lines(f Frame, series []Series, marks []Mark) string {
	c := f.canvas(420)
	c.axes(f)
	for _, m := range marks {
		c.rule("mark", c.x(m.At), top, c.x(m.At), top+c.plotHeight)
		c.text(c.x(m.At)-6, top+c.plotHeight/2, "end small soft", m.Name)
	}
	for i, s := range series {
		colour := colours[i%len(colours)]
		fmt.Fprintf(c, `<polyline class="line" stroke="%s" points="`, colour)
		for _, p := range s.Points {
			fmt.Fprintf(c, "%.1f,%.1f ", c.x(min(p[0], f.XMax)), c.y(min(p[1], f.YMax)))
		}
		c.WriteString("\"/>\n")
		x := float64(width - right - 250)
		y := top + c.plotHeight - 14 - float64(22*(len(series)-1-i))
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="18" height="4" rx="2" fill="%s"/>`+"\n", x, y-6, colour)
		c.text(x+26, y, "", s.Name)
	}
	return c.done()
}

// Row is one line of Ranges: a range from Low to High, with a dot At.
type Row struct {
	Name          string
	At, Low, High float64
}

// Ranges draws rows below one another: at names the dots, span the ranges.
func Ranges(f Frame, at, span string, rows []Row) string {
	const rowHeight, names = 19, 128
	c := f.canvas(top + bottom + rowHeight*len(rows))
	x := func(v float64) float64 { return names + v/f.XMax*(width-names-right) }
	for v, s := 0.0, step(f.XMax); v <= f.XMax*1.0001; v += s {
		c.rule("grid", x(v), top, x(v), top+c.plotHeight)
		c.text(x(v), top+c.plotHeight+18, "mid small soft", number(v))
	}
	c.text((names+width-right)/2, float64(c.height)-14, "mid soft", f.X)
	fmt.Fprintf(c, `<circle cx="%d" cy="%d" r="4" fill="var(--b)"/>`+"\n", names+6, top-12)
	c.text(names+16, top-8, "small soft", at)
	fmt.Fprintf(c, `<rect x="%d" y="%d" width="22" height="6" rx="3" fill="var(--a)"/>`+"\n", names+190, top-15)
	c.text(names+218, top-8, "small soft", span)
	for i, r := range rows {
		y := float64(top + rowHeight*i + rowHeight/2)
		c.text(names-10, y+4, "end small", r.Name)
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="6" rx="3" fill="var(--a)"/>`+"\n", x(r.Low), y-3, max(3, x(r.High)-x(r.Low)))
		fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="4" fill="var(--b)"/>`+"\n", x(r.At), y)
	}
	return c.done()
}

// Bar is one bar of Bars.
type Bar struct {
	Name  string
	Value float64
}

// Bars draws upright bars next to each other, each with its figure above it.
func Bars(f Frame, bars []Bar) string {
	c := f.canvas(380)
	c.rule("axis", left, top+c.plotHeight, width-right, top+c.plotHeight)
	each := float64(width-left-right) / float64(len(bars))
	for i, b := range bars {
		x, y := left+each*float64(i), c.y(b.Value)
		fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" fill="var(--a)"/>`+"\n", x+each*0.12, y, each*0.76, top+c.plotHeight-y)
		c.text(x+each/2, y-5, "mid small", number(b.Value))
		c.text(x+each/2, top+c.plotHeight+18, "mid small soft", b.Name)
	}
	c.text((left+width-right)/2, float64(c.height)-14, "mid soft", f.X)
	c.text(left, top-8, "small soft", f.Y)
	return c.done()
}

// Matrix draws a table of figures from rows to columns of one list of names: the larger a figure, the deeper its ground.
func Matrix(f Frame, names []string, values [][]float64) string {
	const cell, labels = 44, 128
	n := len(names)
	c := f.canvas(top + cell*n + 44)
	most := 0.0
	for i := range values {
		for j, v := range values[i] {
			if i != j {
				most = max(most, v)
			}
		}
	}
	each := float64(width-labels-right) / float64(n)
	for j, name := range names {
		c.text(labels+each*(float64(j)+0.5), top+14, "mid small soft", name)
	}
	for i, name := range names {
		y := float64(top + 24 + cell*i)
		c.text(labels-10, y+cell/2+4, "end small soft", name)
		for j, v := range values[i] {
			x := labels + each*float64(j)
			depth, label := 0.0, number(math.Round(10*v)/10)
			switch {
			case i == j || v < 0.05:
				label = "·"
			case most > 0:
				depth = 0.1 + 0.65*v/most
			}
			fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="4" fill="rgba(var(--heat),%.2f)" stroke="var(--grid)"/>`+"\n", x+2, y+2, each-4, cell-4, depth)
			c.text(x+each/2, y+cell/2+5, "mid", label)
		}
	}
	return c.done()
}
