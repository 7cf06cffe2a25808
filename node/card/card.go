// Package card is what a room shows of itself where its link is pasted: the OpenGraph and Twitter tags of its page, and a
// picture of 1200 × 630 pixels that this node draws. It says nothing that the lobby does not say to everybody, and of a room
// that is kept in regions nothing at all, because whoever shows a preview keeps a copy somewhere else. Drawing is bounded: a
// picture is kept until what it shows has changed, and when too many are asked for at once an older one, or one of no room,
// is the answer. A Server is safe for concurrent use.
package card

import (
	"strconv"
	"strings"
	"time"

	"rotunda"
	"rotunda/control/room"
)

// Card is what is shown of one room. Two of the same room that are equal look alike.
type Card struct {
	Room      rotunda.RoomID
	Title     string
	Host      string // name; empty: not known
	State     room.Phase
	Language  string    // tag of the language that is spoken in the room; empty: not said
	StartsAt  time.Time // of a scheduled room
	OnStage   int
	Listeners int // 0: nobody, or not known
	Locked    bool
}

// words are what a card says in one language. Each is a label before a figure or a name, so that no plural is needed.
type words struct {
	live, begins, ended, hosted, listening, onStage, locked string
}

// english is said where the room's language has no words here.
var english = words{"Live now", "Begins {}", "This room has ended", "Hosted by {}", "Listening: {}", "On stage: {}", "Locked"}

// wordsOf are the words in the languages of the web client, by primary subtag.
func wordsOf(language string) words {
	primary, _, _ := strings.Cut(strings.ToLower(language), "-")
	switch primary {
	case "es":
		return words{"En directo", "Empieza {}", "Esta sala ha terminado", "Anfitrión: {}", "Escuchan: {}", "En el escenario: {}", "Cerrada"}
	case "pt":
		return words{"Ao vivo", "Começa {}", "Esta sala terminou", "Anfitrião: {}", "Ouvindo: {}", "No palco: {}", "Trancada"}
	case "fr":
		return words{"En direct", "Commence {}", "Ce salon est terminé", "Hôte : {}", "À l’écoute : {}", "Sur scène : {}", "Fermé"}
	case "id":
		return words{"Sedang langsung", "Mulai {}", "Ruang ini telah berakhir", "Tuan rumah: {}", "Mendengarkan: {}", "Di panggung: {}", "Terkunci"}
	case "ar":
		return words{"مباشر الآن", "تبدأ {}", "انتهت هذه الغرفة", "المضيف: {}", "المستمعون: {}", "على المنصة: {}", "مغلقة"}
	case "hi":
		return words{"अभी लाइव", "शुरुआत: {}", "यह कमरा समाप्त हुआ", "मेज़बान: {}", "सुन रहे हैं: {}", "मंच पर: {}", "बंद"}
	}
	return english
}

func with(words, what string) string { return strings.Replace(words, "{}", what, 1) }

// state says whether the room is live, and if not, when.
func (c Card) state(w words) string {
	switch c.State {
	case room.Live:
		return w.live
	case room.Scheduled:
		if c.StartsAt.IsZero() {
			return with(w.begins, "…")
		}
		return with(w.begins, c.StartsAt.UTC().Format("2006-01-02 15:04")+" UTC") // nobody knows where the reader is
	case room.Ended:
		return w.ended
	}
	panic("card: a room that is " + string(c.State))
}

// people says how many are there; nothing of a room where nobody can be.
func (c Card) people(w words) string {
	if c.State != room.Live {
		return ""
	}
	said := []string{with(w.onStage, strconv.Itoa(c.OnStage))}
	if c.Listeners > 0 {
		said = append(said, with(w.listening, strconv.Itoa(c.Listeners)))
	}
	return strings.Join(said, " · ")
}

// Describe is the card in one line. A name in a script of the other direction does not turn the line around (UAX #9).
func (c Card) Describe() string {
	w := wordsOf(c.Language)
	said := []string{c.state(w)}
	if c.Host != "" {
		said = append(said, with(w.hosted, "\u2068"+plain(c.Host)+"\u2069"))
	}
	if p := c.people(w); p != "" {
		said = append(said, p)
	}
	if c.Locked {
		said = append(said, w.locked)
	}
	return strings.Join(said, " · ")
}
