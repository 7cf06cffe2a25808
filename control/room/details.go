package room

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rotunda"
)

// Hitless is by how many ways a room's program, and what is mixed into it, travels between nodes.
type Hitless string

// The kinds of Hitless. Where a room says nothing, each node goes by its own configuration (cascade.hitless).
const (
	HitlessUnsaid  Hitless = ""
	HitlessProgram Hitless = "program" // by two: whichever other node dies, nothing is missing
	HitlessOff     Hitless = "off"     // by one: half the traffic, and what was missed comes late
)

func (h Hitless) valid() bool { return h == HitlessUnsaid || h == HitlessProgram || h == HitlessOff }

// Details is what a room says of itself, and its policy.
type Details struct {
	Title       string    `json:"title"`
	Description string    `json:"description,omitempty"`
	Rules       string    `json:"rules,omitempty"`
	Mode        Mode      `json:"mode"`
	Tags        []string  `json:"tags,omitempty"` // never changed in place
	Language    string    `json:"language,omitempty"`
	StartsAt    time.Time `json:"startsAt,omitzero"` // zero: not scheduled
	Policy      Policy    `json:"policy"`

	Askers []rotunda.UserID `json:"askers,omitempty"` // who may ask where Policy.Requests is Listed; never changed in place
}

// Longest texts, in characters (Unicode code points) after normalisation.
const (
	TitleMax       = 120
	DescriptionMax = 2_000
	RulesMax       = 4_000
	TagMax         = 32
	TagsMax        = 8
	LanguageMax    = 35 // RFC 5646 §4.4.1
	NoteMax        = 280
	NameMax        = 64
	AskersMax      = 200 // people
)

// text normalises s to NFC, trims it and checks it: length within the bound, valid UTF-8, nothing that hides or reverses what
// stands around it. Line breaks are for texts of several lines only.
func text(field, s string, lenMax int, lines bool) (string, error) {
	if len(s) > 4*utf8.UTFMax*lenMax { // hopeless before the work of normalising; combining marks may shrink it fourfold
		return "", fmt.Errorf("%s: %w: at most %d characters", field, ErrInvalid, lenMax)
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%s: %w: not UTF-8", field, ErrInvalid)
	}
	if lines {
		s = strings.ReplaceAll(s, "\r\n", "\n")
	}
	s = strings.TrimSpace(norm.NFC.String(s))
	if n := utf8.RuneCountInString(s); n > lenMax {
		return "", fmt.Errorf("%s: %w: %d characters, at most %d", field, ErrInvalid, n, lenMax)
	}
	for _, r := range s {
		if !printable(r) && !(lines && (r == '\n' || r == '\t')) {
			return "", fmt.Errorf("%s: %w: character U+%04X is not allowed", field, ErrInvalid, r)
		}
	}
	return s, nil
}

// printable refuses control characters, line and paragraph separators, and the explicit bidirectional formatting
// characters (UAX #9 §2), with which a text can disguise its neighbours. The marks and joiners that scripts need stay.
func printable(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029', r == '\ufeff':
		return false
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return false
	case r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe0fff: // annotations; tags
		return false
	}
	return true
}

// clean makes a display name harmless instead of refusing it: names come from tokens that others have minted.
func clean(name string) string {
	if len(name) > 4*utf8.UTFMax*NameMax {
		name = name[:4*utf8.UTFMax*NameMax]
	}
	name = norm.NFC.String(strings.ToValidUTF8(name, ""))
	var b strings.Builder
	n := 0
	for _, r := range name {
		if n == NameMax {
			break
		}
		if printable(r) {
			b.WriteRune(r)
			n++
		}
	}
	return strings.TrimSpace(b.String())
}

// checked returns d with its texts normalised, or the first thing that is wrong with it.
func (d Details) checked() (Details, error) {
	var err error
	if d.Title, err = text("title", d.Title, TitleMax, false); err != nil {
		return d, err
	}
	if d.Title == "" {
		return d, fmt.Errorf("title: %w: 1 to %d characters", ErrInvalid, TitleMax)
	}
	if d.Description, err = text("description", d.Description, DescriptionMax, true); err != nil {
		return d, err
	}
	if d.Rules, err = text("rules", d.Rules, RulesMax, true); err != nil {
		return d, err
	}
	if d.Tags, err = tags(d.Tags); err != nil {
		return d, err
	}
	if err := language(d.Language); err != nil {
		return d, err
	}
	if !d.Mode.known() {
		return d, fmt.Errorf("mode: %w: discussion, qa, lecture or rotation", ErrInvalid)
	}
	if d.Askers, err = askers(d.Askers); err != nil {
		return d, err
	}
	return d, d.Policy.check()
}

// tags normalises a list of tags: lower case, without doubles, in the order given.
func tags(in []string) ([]string, error) {
	if len(in) > TagsMax {
		return nil, fmt.Errorf("tags: %w: at most %d", ErrInvalid, TagsMax)
	}
	var out []string
	for _, t := range in {
		t, err := text("tags", strings.ToLower(t), TagMax, false)
		if err != nil {
			return nil, err
		}
		if t == "" {
			return nil, fmt.Errorf("tags: %w: 1 to %d characters each", ErrInvalid, TagMax)
		}
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

// askers checks a list of people: well-formed ids, sorted, without doubles.
func askers(in []rotunda.UserID) ([]rotunda.UserID, error) {
	if len(in) > AskersMax {
		return nil, fmt.Errorf("askers: %w: at most %d", ErrInvalid, AskersMax)
	}
	for _, u := range in {
		if err := u.Valid(); err != nil {
			return nil, fmt.Errorf("askers: %w: %v", ErrInvalid, err)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(in))), nil
}

// language checks the shape of a language tag (RFC 5646 §2.1), not whether it is registered; empty: not said.
func language(s string) error {
	if len(s) > LanguageMax {
		return fmt.Errorf("language: %w: at most %d characters", ErrInvalid, LanguageMax)
	}
	for part := range strings.SplitSeq(s, "-") {
		if s == "" {
			return nil
		}
		ok := len(part) >= 1 && len(part) <= 8
		for _, c := range []byte(part) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
		}
		if !ok {
			return fmt.Errorf("language: %w: a tag like en or pt-BR", ErrInvalid)
		}
	}
	return nil
}
