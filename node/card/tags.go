package card

import (
	"html"
	"strconv"
	"strings"
	"unicode"

	"rotunda"
)

// What the product says of itself where there is no room to speak of.
const (
	product = "Rotunda"
	lead    = "Live audio rooms, heard on the node nearest to you."
)

// page is what the tags of one page say.
type page struct {
	url, title, description, picture string // addresses are absolute: whoever reads them has no page that they belong to
}

// tags are the page's lines of HTML (ogp.me; Twitter's cards).
func (p page) tags() string {
	var b strings.Builder
	for _, t := range [][3]string{
		{"property", "og:site_name", product},
		{"property", "og:type", "website"},
		{"property", "og:url", p.url},
		{"property", "og:title", p.title},
		{"property", "og:description", p.description},
		{"property", "og:image", p.picture},
		{"property", "og:image:type", "image/png"},
		{"property", "og:image:width", strconv.Itoa(width)},
		{"property", "og:image:height", strconv.Itoa(height)},
		{"property", "og:image:alt", p.title + ". " + p.description},
		{"name", "twitter:card", "summary_large_image"},
		{"name", "twitter:title", p.title},
		{"name", "twitter:description", p.description},
		{"name", "twitter:image", p.picture},
	} {
		b.WriteString("    <meta " + t[0] + `="` + t[1] + `" content="` + html.EscapeString(t[2]) + "\" />\n")
	}
	return b.String()
}

// pageOf is the page of a room that is shown. The picture's address has what it shows in it, so that a changed one is fetched anew.
func pageOf(base string, c Card) page {
	link := base + "/r/" + string(c.Room)
	return page{url: link, title: plain(c.Title), description: c.Describe(), picture: link + "/card.png?v=" + c.version()}
}

// pageOfNone is a page that says nothing of a room, because there is none or it is not to be spoken of.
func pageOfNone(base string, id rotunda.RoomID) page {
	p := page{url: base + "/", title: product, description: lead, picture: base + "/card.png"}
	if id.Valid() == nil {
		p.url = base + "/r/" + string(id)
	}
	return p
}

// plain is text on one line without signs that turn or hide what stands around it.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == '\u200d' || r == '\u200c': // they belong to how some scripts and emoji are written
			return r
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
