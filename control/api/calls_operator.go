package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"rotunda"
	"rotunda/control"
	"rotunda/control/people"
	"rotunda/control/room"
)

type (
	queueCall struct {
		State  string `query:"state" enum:"open,answered" default:"open" example:"open" doc:"Those that wait, or those that were answered."`
		Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" example:"50" doc:"How many at most."`
		Cursor string `query:"cursor" maxLength:"128" doc:"nextCursor of the page before."`
	}
	queuedReport struct {
		report
		By         rotunda.UserID `json:"by" example:"g_2m4p7h9k" doc:"Who reported."`
		Name       string         `json:"name,omitempty" example:"Eve" doc:"The name of who was reported, at the time."`
		Title      string         `json:"title" example:"What the tide leaves behind" doc:"The room's title, at the time."`
		Host       rotunda.UserID `json:"host" example:"g_9k2m4p7h" doc:"The room's host, at the time."`
		Seq        uint64         `json:"seq" example:"17" doc:"How far the room's log was: what had happened by then."`
		AnsweredBy rotunda.UserID `json:"answeredBy,omitempty" example:"olga" doc:"Which operator answered."`
	}
	queueBody struct {
		Reports    []queuedReport `json:"reports" nullable:"false" doc:"The oldest first."`
		Oldest     float64        `json:"oldestSeconds" example:"93.5" doc:"How long the oldest open report has waited; 0: none is open."`
		NextCursor string         `json:"nextCursor,omitempty" doc:"Where the next page starts; not there on the last."`
	}
	queueAnswer struct {
		Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)."`
		Body queueBody
	}
	ackBody struct {
		Answer string `json:"answer,omitempty" maxLength:"1120" example:"Banned. Thank you." doc:"What became of it, for the reporter; at most 280 characters."`
	}
	ackCall struct {
		Report string `path:"report" maxLength:"64" example:"4PT7VJ2X" doc:"The report's id."`
		Body   *ackBody
	}
	ackAnswer struct {
		Body queuedReport
	}
	ban struct {
		User   rotunda.UserID `json:"user" example:"g_7h2k9m4p" doc:"Who is banned from the mesh."`
		At     time.Time      `json:"at" example:"2026-11-23T12:09:00Z" doc:"Since when."`
		By     rotunda.UserID `json:"by" example:"olga" doc:"Which operator banned them."`
		Reason string         `json:"reason,omitempty" example:"Spam." doc:"Why."`
	}
	bansCall struct {
		Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50" example:"50" doc:"How many at most."`
		Cursor string `query:"cursor" maxLength:"128" doc:"nextCursor of the page before."`
	}
	bansBody struct {
		Bans       []ban  `json:"bans" nullable:"false" doc:"By user id."`
		NextCursor string `json:"nextCursor,omitempty" doc:"Where the next page starts; not there on the last."`
	}
	bansAnswer struct {
		Link string `header:"Link" doc:"The next page, rel=\"next\" (RFC 8288)."`
		Body bansBody
	}
	userCall struct {
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
	}
	banCall struct {
		User rotunda.UserID `path:"user" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]+$" example:"g_7h2k9m4p" doc:"The person's user id."`
		Body *reasonBody
	}
	revokeBody struct {
		Token   string         `json:"token,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]*$" example:"4PT7VJ2X" doc:"The jti of one token. Either this or user."`
		Expires *time.Time     `json:"expires,omitempty" example:"2026-11-24T00:00:00Z" doc:"When that token ends by itself, and need not be remembered any more."`
		User    rotunda.UserID `json:"user,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_.:-]*$" doc:"Every token of this person that was issued until now."`
	}
	revokeCall struct {
		Body revokeBody
	}
)

// registerOperator adds the calls for whoever runs the mesh. Their tokens carry the scope "operator" (docs/adr/0006).
func (a *API) registerOperator() {
	const tag, root = "Operator", "/v1/operator"
	register(a, operation{
		id: "listReports", method: http.MethodGet, path: root + "/reports", tag: tag, summary: "List the reports", user: true, only: true,
	}, a.listReports)
	register(a, operation{
		id: "answerReport", method: http.MethodPost, path: root + "/reports/{report}/ack", tag: tag, summary: "Answer a report",
		about: "The reporter sees the answer. Answering again changes it.", user: true, only: true,
		errors: append([]int{http.StatusNotFound}, peopleErrors...),
	}, a.answerReport)
	register(a, operation{
		id: "listBans", method: http.MethodGet, path: root + "/bans", tag: tag, summary: "List who is banned from the mesh", user: true, only: true,
	}, a.listBans)
	register(a, operation{
		id: "banEverywhere", method: http.MethodPut, path: root + "/bans/{user}", tag: tag, summary: "Ban somebody from the mesh",
		about: "Whatever token they have, on every node; their sessions end, and a room that they host passes on.",
		user:  true, only: true, status: http.StatusNoContent, errors: peopleErrors,
	}, a.banEverywhere)
	register(a, operation{
		id: "unbanEverywhere", method: http.MethodDelete, path: root + "/bans/{user}", tag: tag, summary: "Let somebody in again",
		user: true, only: true, status: http.StatusNoContent, errors: append([]int{http.StatusNotFound}, peopleErrors...),
	}, func(ctx context.Context, in *userCall) (*emptyAnswer, error) {
		a.audit(ctx, "unban", "user", in.User)
		return &emptyAnswer{}, a.cfg.People.Unban(ctx, claimsOf(ctx).User, in.User)
	})
	register(a, operation{
		id: "revoke", method: http.MethodPost, path: root + "/revocations", tag: tag, summary: "Take tokens back",
		about: "One by its jti, or all that a person has. Refused on every node from then on.",
		user:  true, only: true, status: http.StatusNoContent, errors: peopleErrors,
	}, a.revoke)
	register(a, operation{
		id: "removeProfile", method: http.MethodDelete, path: root + "/profiles/{user}", tag: tag, summary: "Take somebody's profile away",
		about: "Name, picture and bio.", user: true, only: true, status: http.StatusNoContent, errors: peopleErrors,
	}, func(ctx context.Context, in *userCall) (*emptyAnswer, error) {
		a.audit(ctx, "remove profile", "user", in.User)
		return &emptyAnswer{}, a.cfg.People.Forget(ctx, in.User)
	})
}

// audit logs what an operator does, with the token that it was done with.
func (a *API) audit(ctx context.Context, what string, details ...any) {
	c := claimsOf(ctx)
	a.cfg.Logger.Info("operator: "+what, append([]any{"by", c.User, "token", c.ID, "request", RequestID(ctx)}, details...)...)
}

func queuedOf(r people.Report) queuedReport {
	return queuedReport{report: reportOf(r), By: r.By, Name: r.Name, Title: r.Title, Host: r.Host, Seq: r.Seq, AnsweredBy: r.AnsweredBy}
}

func (a *API) listReports(_ context.Context, in *queueCall) (*queueAnswer, error) {
	list := a.cfg.People.Reports(func(r people.Report) bool { return r.Open() == (in.State == "open") })
	some, next, err := page(list, func(r people.Report) place { return place{int64(r.Order), r.ID} }, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &queueAnswer{Body: queueBody{Reports: []queuedReport{}, NextCursor: next}}
	for _, r := range some {
		out.Body.Reports = append(out.Body.Reports, queuedOf(r))
	}
	if open := a.cfg.People.Reports(people.Report.Open); len(open) > 0 {
		out.Body.Oldest = max(0, a.cfg.Now().Sub(open[0].At).Seconds())
	}
	if next != "" {
		out.Link = nextLink("/v1/operator/reports", map[string]string{"state": in.State}, in.Limit, next)
	}
	return out, nil
}

func (a *API) answerReport(ctx context.Context, in *ackCall) (*ackAnswer, error) {
	answer := ""
	if in.Body != nil {
		answer = in.Body.Answer
	}
	a.audit(ctx, "answer report", "report", in.Report)
	r, err := a.cfg.People.Answer(ctx, claimsOf(ctx).User, in.Report, answer)
	if err != nil {
		return nil, err
	}
	return &ackAnswer{Body: queuedOf(r)}, nil
}

func (a *API) listBans(_ context.Context, in *bansCall) (*bansAnswer, error) {
	some, next, err := page(a.cfg.People.Bans(), func(b people.BannedUser) place { return place{0, string(b.User)} }, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &bansAnswer{Body: bansBody{Bans: []ban{}, NextCursor: next}}
	for _, b := range some {
		out.Body.Bans = append(out.Body.Bans, ban{User: b.User, At: b.At, By: b.By, Reason: b.Reason})
	}
	if next != "" {
		out.Link = nextLink("/v1/operator/bans", nil, in.Limit, next)
	}
	return out, nil
}

// banEverywhere bans a person from the mesh, and takes the rooms that they host out of their hands at once; everything else
// of theirs ends because every node refuses them (Store.Changed).
func (a *API) banEverywhere(ctx context.Context, in *banCall) (*emptyAnswer, error) {
	by := claimsOf(ctx).User
	if in.User == by {
		return nil, fmt.Errorf("oneself: %w", room.ErrInvalid)
	}
	a.audit(ctx, "ban", "user", in.User)
	if err := a.cfg.People.Ban(ctx, by, in.User, in.Body.text()); err != nil {
		return nil, err
	}
	for _, s := range a.cfg.Control.Rooms() {
		if s.Host != in.User || s.State != room.Live {
			continue
		}
		if err := a.banHost(ctx, s, in.Body.text()); err != nil {
			a.cfg.Logger.Warn("operator: a banned person's room goes on until they are missed", "room", s.ID, "error", err)
		}
	}
	return &emptyAnswer{}, nil
}

func (a *API) banHost(ctx context.Context, s control.Summary, reason string) error {
	_, err := a.cfg.Control.Do(ctx, s.ID, operatorActor(), room.Remove{User: s.Host, Ban: true, Reason: reason})
	return err
}

func (a *API) revoke(ctx context.Context, in *revokeCall) (*emptyAnswer, error) {
	by, b := claimsOf(ctx).User, in.Body
	a.audit(ctx, "revoke", "revoked", b.Token, "user", b.User)
	switch {
	case (b.Token == "") == (b.User == "") || b.User != "" && b.Expires != nil:
		return nil, fmt.Errorf("either token, with or without expires, or user: %w", room.ErrInvalid)
	case b.User != "":
		return &emptyAnswer{}, a.cfg.People.SignOut(ctx, by, b.User)
	case b.Expires != nil:
		return &emptyAnswer{}, a.cfg.People.Revoke(ctx, by, b.Token, *b.Expires)
	}
	return &emptyAnswer{}, a.cfg.People.Revoke(ctx, by, b.Token, time.Time{})
}
