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
	Seq     uint64         `json:"seq" doc:"The event that did it." example:"9"`
	At      time.Time      `json:"at" doc:"When." example:"2026-11-23T12:04:00Z"`
	By      rotunda.UserID `json:"by,omitempty" doc:"Who did." example:"g_7h2k9m4p"`
	Changed []string       `json:"changed" nullable:"false" doc:"Which members." example:"[\"title\"]"` // never changed in place
	Title   string         `json:"title" doc:"What it is called from then on." example:"Tides"`
	Mode    Mode           `json:"mode" doc:"The preset from then on." example:"qa"`
}

func (s *State) applyEdited(e Event) {
	if e.Details == nil {
		return
	}
	changed := e.Details.changed(s.Details)
	if slices.Contains(changed, "rules") {
		s.RulesVersion++
	}
	s.Details = *e.Details
	s.Details.Policy = s.Details.Policy.filled()
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
