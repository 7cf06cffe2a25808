package room

import (
	"slices"
	"time"

	"rotunda"
)

// HistoryMax is how many changes of what a room says of itself are remembered. The log has them all, with their texts.
const HistoryMax = 32

// Revision is one change of a room's details.
type Revision struct {
	Seq     uint64         `json:"seq"`
	At      time.Time      `json:"at"`
	By      rotunda.UserID `json:"by,omitempty"`
	Changed []string       `json:"changed"` // names of fields; never changed in place
	Title   string         `json:"title"`   // from then on
	Mode    Mode           `json:"mode"`    // from then on
}

// History lists the latest changes of the room's details, the oldest first. It is not to be changed.
func (s *State) History() []Revision { return s.history }

func (s *State) applyEdited(e Event) {
	if e.Details == nil {
		return
	}
	changed := e.Details.changed(s.Details)
	if slices.Contains(changed, "rules") {
		s.RulesVersion++
	}
	s.Details = *e.Details
	from := max(0, len(s.history)+1-HistoryMax)
	s.history = append(slices.Clone(s.history[from:]), Revision{
		Seq: e.Seq, At: e.At, By: e.By, Changed: changed, Title: s.Details.Title, Mode: s.Details.Mode,
	})
}

// changed names the fields in which d differs from o.
func (d Details) changed(o Details) []string {
	out := []string{}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"title", d.Title == o.Title}, {"description", d.Description == o.Description}, {"rules", d.Rules == o.Rules},
		{"mode", d.Mode == o.Mode}, {"tags", slices.Equal(d.Tags, o.Tags)}, {"language", d.Language == o.Language},
		{"startsAt", d.StartsAt.Equal(o.StartsAt)}, {"askers", slices.Equal(d.Askers, o.Askers)}, {"policy", d.Policy == o.Policy},
	} {
		if !f.same {
			out = append(out, f.name)
		}
	}
	return out
}
