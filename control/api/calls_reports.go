package api

import (
	"context"
	"net/http"
	"time"

	"rotunda"
	"rotunda/control/people"
)

type (
	reportBody struct {
		User   rotunda.UserID `json:"user,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]*$" example:"g_7h2k9m4p" doc:"Who is reported; not there: the room."`
		Reason string         `json:"reason" minLength:"1" maxLength:"1120" example:"Harassment" doc:"1 to 280 characters, in one line."`
		Note   string         `json:"note,omitempty" maxLength:"8000" example:"For ten minutes now." doc:"At most 2,000 characters, in lines."`
	}
	reportCall struct {
		Room string `path:"room" example:"k3v9q7m2x4ab" doc:"The room's id."`
		Body reportBody
	}
	report struct {
		ID     string         `json:"id" example:"4PT7VJ2X" doc:"The report's id."`
		At     time.Time      `json:"at" example:"2026-11-23T12:07:00Z" doc:"When."`
		Room   rotunda.RoomID `json:"room" example:"k3v9q7m2x4ab" doc:"The room, which may be over by now."`
		User   rotunda.UserID `json:"user,omitempty" example:"g_7h2k9m4p" doc:"Who was reported; not there: the room."`
		Reason string         `json:"reason" example:"Harassment" doc:"Why."`
		Note   string         `json:"note,omitempty" example:"For ten minutes now." doc:"What else was said."`
		Open   bool           `json:"open" example:"false" doc:"Whether nobody has answered yet."`
		Answer string         `json:"answer,omitempty" example:"Banned. Thank you." doc:"What became of it."`
		Closed *time.Time     `json:"closedAt,omitempty" doc:"When it was answered."`
	}
	reportAnswer struct {
		Body report
	}
	reportsBody struct {
		Reports []report `json:"reports" nullable:"false" doc:"The newest first."`
	}
	reportsAnswer struct {
		Body reportsBody
	}
)

func (a *API) registerReports() {
	const tag = "Reports"
	register(a, operation{
		id: "report", method: http.MethodPost, path: "/v1/rooms/{room}/reports", tag: tag, summary: "Report a room or a person in it",
		about: "To the operator of the mesh, whom it reaches also where the room is over. Nobody in the room is told. " +
			"At most 20 open ones of one person. It lies on all nodes, also where the room is kept in regions.",
		user: true, status: http.StatusCreated, rate: a.limits.reports, errors: peopleErrors,
	}, a.report)
	register(a, operation{
		id: "listOwnReports", method: http.MethodGet, path: "/v1/reports", tag: tag, summary: "List one's own reports",
		about: "With what became of them, for 90 days.", user: true, errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, func(ctx context.Context, _ *struct{}) (*reportsAnswer, error) {
		who := claimsOf(ctx).User
		out := &reportsAnswer{Body: reportsBody{Reports: []report{}}}
		list := a.cfg.People.Reports(func(r people.Report) bool { return r.By == who })
		for i := len(list) - 1; i >= 0 && len(out.Body.Reports) < listMax; i-- {
			out.Body.Reports = append(out.Body.Reports, reportOf(list[i]))
		}
		return out, nil
	})
}

// listMax is how many entries one answer has at most.
const listMax = 100

// reportOf is a report as its reporter sees it.
func reportOf(r people.Report) report {
	out := report{ID: r.ID, At: r.At, Room: r.Room, User: r.User, Reason: r.Reason, Note: r.Note, Open: r.Open(), Answer: r.Answer}
	if !r.Open() {
		out.Closed = &r.Closed
	}
	return out
}

func (a *API) report(ctx context.Context, in *reportCall) (*reportAnswer, error) {
	c, id := claimsOf(ctx), rotunda.RoomID(in.Room)
	if err := c.For(id); err != nil {
		return nil, err
	}
	s, err := a.cfg.Control.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	r := people.Report{By: c.User, Room: id, Title: s.Details.Title, Host: s.Host, Seq: s.Seq, User: in.Body.User, Reason: in.Body.Reason, Note: in.Body.Note}
	for _, p := range s.Stage() {
		if p.User == r.User {
			r.Name = p.Name
		}
	}
	if p, ok := a.cfg.People.Profile(r.User); ok && p.Name != "" {
		r.Name = p.Name
	}
	if id.Fenced() { // reports lie on all nodes: nothing of the room but what the reporter says goes there
		r.Title, r.Name = "", ""
	}
	if r, err = a.cfg.People.Report(ctx, r); err != nil {
		return nil, err
	}
	return &reportAnswer{Body: reportOf(r)}, nil
}
