package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"rotunda"
	"rotunda/control/room"
)

// operation describes one call.
type operation struct {
	id, method, path, tag, summary, about string

	status    int                       // of success; 0: 200
	user      bool                      // needs a token; and Idempotency-Key counts
	known     bool                      // may carry a token, and then is answered as that person
	once      bool                      // Idempotency-Key counts without a token, per address
	loose     bool                      // takes query parameters that it does not know
	addressed bool                      // no token; its own rate counts, per address
	only      bool                      // needs an operator's token; and user
	operator  bool                      // of a command: an operator may give it too, whatever they are in the room
	bodyMax   int                       // longest body; 0: bodyMax
	rate      *buckets                  // besides the rates of all calls: per user, or per address where no token is needed
	more      map[string]*huma.Response // answers besides the refusals, by status, where they are not what handle returns
	errors    []int                     // statuses of refusal besides those that follow from the rest
}

// register adds a call: handle gets what was decoded and answers, or says what is wrong.
func register[I, O any](a *API, op operation, handle func(context.Context, *I) (*O, error)) {
	h := huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Tags: []string{op.tag}, Summary: op.summary, Description: op.about,
		DefaultStatus: op.status, MaxBodyBytes: int64(cmp.Or(op.bodyMax, bodyMax)) + 1, BodyReadTimeout: bodyTime, RejectUnknownQueryParameters: !op.loose,
		Responses: a.refusals(op, reflect.TypeFor[I]()),
	}
	maps.Copy(h.Responses, op.more)
	if op.bodyMax > 0 {
		a.bodies[op.method+" "+op.path] = op.bodyMax
	}
	if op.user {
		h.Security = []map[string][]string{{"bearer": {}}}
	} else if op.known {
		h.Security = []map[string][]string{{}, {"bearer": {}}}
	}
	if (op.user || op.once) && op.method != http.MethodGet {
		h.Parameters = []*huma.Param{idempotencyKey}
	}
	if op.user || op.once || op.known || op.addressed {
		h.Middlewares = huma.Middlewares{a.gate(op)}
	}
	huma.Register(a.huma, h, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err == nil {
			return out, nil
		}
		p, known := problemOf(err)
		if !known && ctx.Err() == nil {
			a.cfg.Logger.Error("call failed", "call", op.id, "request", RequestID(ctx), "error", err)
		}
		return nil, p
	})
}

var idempotencyKey = &huma.Param{
	Name: "Idempotency-Key", In: "header",
	Description: "Makes a repetition harmless: the same key with the same request gets the first answer again, for 24 hours; on another node, the room as it is, without doing anything twice.",
	Schema:      &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(keyMax)},
	Example:     "0b0c1f6e-5a5e-4a0e-9d0c-1f6e5a5e4a0e",
}

// gate stands before the decoder: the token, the caller's own rates, and requests that were answered before.
func (a *API) gate(op operation) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if err := a.pass(op, w, r, func(w http.ResponseWriter, r *http.Request) {
			next(humago.NewContext(ctx.Operation(), r, w))
		}); err != nil {
			a.refuse(w, r, err)
		}
	}
}

func (a *API) pass(op operation, w http.ResponseWriter, r *http.Request, do func(http.ResponseWriter, *http.Request)) error {
	address := a.address(r)
	who, ctx := "address "+address, context.WithValue(r.Context(), addressKey{}, address)
	if op.user || op.known && r.Header.Get("Authorization") != "" {
		c, err := a.Authenticate(r)
		if err != nil {
			return err
		}
		if op.only && !c.Operator {
			return errOperator
		}
		ctx = context.WithValue(ctx, claimsKey{}, c)
		if op.user {
			who = "user " + string(c.User)
			if op.method != http.MethodGet {
				if err := allow(a.limits.userCommands, a.cfg.Now(), who); err != nil {
					return err
				}
			}
		}
	}
	r = r.WithContext(ctx)
	if op.rate != nil {
		if err := allow(op.rate, a.cfg.Now(), who); err != nil {
			return err
		}
	}
	if op.method == http.MethodGet { // changes nothing, so nothing is carried out twice
		do(w, r)
		return nil
	}
	return a.once(w, r, once{who, cmp.Or(op.bodyMax, bodyMax)}, do)
}

// roomBody is a room as one reader sees it.
type roomBody struct {
	room.View
	Listeners *int `json:"listeners,omitempty" example:"120" doc:"How many listen in the whole mesh, where that is known."`
}

// roomAnswer is a room after a command, or as it is.
type roomAnswer struct {
	ETag string `header:"ETag" example:"\"17\"" doc:"The room's sequence number."`
	Body roomBody
}

func (a *API) roomBody(s *room.State, reader rotunda.UserID) roomBody {
	b := roomBody{View: s.ViewFor(reader)}
	if a.cfg.Presence != nil {
		if n, ok := a.cfg.Presence.Listeners(s.ID); ok {
			b.Listeners = &n
		}
	}
	return b
}

func etag(seq uint64) string { return `"` + strconv.FormatUint(seq, 10) + `"` }

// command adds a call that is one command about a room. It answers with the room after it.
func command[I any](a *API, op operation, decode func(*I) (id string, cmd room.Command)) {
	op.user = true
	op.errors = append(op.errors, http.StatusForbidden, http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	register(a, op, func(ctx context.Context, in *I) (*roomAnswer, error) {
		name, cmd := decode(in)
		id := rotunda.RoomID(name)
		actor, _, err := a.actor(ctx, claimsOf(ctx), id)
		if err != nil {
			return nil, err
		}
		if op.operator && claimsOf(ctx).Operator {
			a.audit(ctx, op.id, "room", id)
			actor = operatorActor()
		}
		s, err := a.cfg.Control.Do(ctx, id, actor, cmd)
		if err != nil {
			return nil, err
		}
		if moderation[op.id] {
			a.cfg.Logger.Info("decided", "call", op.id, "room", id, "by", claimsOf(ctx).User, "seq", s.Seq, "request", RequestID(ctx))
		}
		return &roomAnswer{ETag: etag(s.Seq), Body: a.roomBody(s, readerOf(claimsOf(ctx), s))}, nil
	})
}

// routes registers all calls and renders the OpenAPI document.
func (a *API) routes() error {
	names := map[reflect.Type]string{
		reflect.TypeFor[roomBody](): "Room", reflect.TypeFor[room.ViewParticipant](): "Participant", reflect.TypeFor[room.Summary](): "RoomSummary",
		reflect.TypeFor[room.ViewRequest](): "SpeakRequest", reflect.TypeFor[room.ViewRemoval](): "Removal",
	}
	registry := huma.NewMapRegistry("#/components/schemas/", func(t reflect.Type, hint string) string {
		if name, ok := names[t]; ok {
			return name
		}
		return huma.DefaultSchemaNamer(t, hint)
	})
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: decodeStrict}
	a.huma = humago.New(a.mux, huma.Config{
		OpenAPI:       document(registry),
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{asProblem},
	})
	a.registerRooms()
	a.registerPeople()
	a.registerStage()
	a.registerProfiles()
	a.registerReports()
	a.registerOperator()
	a.registerSignIn()
	a.registerMesh()
	describe(registry.Map())
	doc, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return fmt.Errorf("openapi: %v", err)
	}
	a.openapi = append(doc, '\n')
	return nil
}

// asProblem makes the decoder's own errors problems of ours. What the caller sent is not sent back.
func asProblem(ctx huma.Context, _ string, v any) (any, error) {
	if found, ok := v.(*problem); ok {
		p := *found // it may be many requests' answer
		p.Request = RequestID(ctx.Context())
		return &p, nil
	}
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	r, ok := byStatus[e.Status]
	if !ok {
		r = byStatus[http.StatusInternalServerError]
	}
	p := r.problem(e.Status)
	p.Request = RequestID(ctx.Context())
	if e.Status >= http.StatusInternalServerError {
		return p, nil
	}
	for _, d := range e.Errors {
		if d != nil {
			p.Errors = append(p.Errors, fieldProblem{Location: d.Location, Message: d.Message})
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = strings.TrimPrefix(p.Errors[0].Location+": ", ": ") + p.Errors[0].Message
	}
	return p, nil
}

// refusals documents how a call can fail.
func (a *API) refusals(op operation, in reflect.Type) map[string]*huma.Response {
	codes := append([]int{http.StatusTooManyRequests, http.StatusInternalServerError}, op.errors...)
	if op.user || op.known {
		codes = append(codes, http.StatusUnauthorized)
	}
	if op.only || op.known {
		codes = append(codes, http.StatusForbidden)
	}
	if strings.Contains(op.path, "{room}") {
		codes = append(codes, http.StatusNotFound)
	}
	if _, body := in.FieldByName("Body"); body {
		codes = append(codes, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if _, raw := in.FieldByName("RawBody"); raw {
		codes = append(codes, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge)
	}
	if in.NumField() > 0 || op.user || op.once {
		codes = append(codes, http.StatusUnprocessableEntity)
	}
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem](), true, "Problem")
	responses := map[string]*huma.Response{}
	for _, code := range codes {
		if code == http.StatusNotModified {
			responses[strconv.Itoa(code)] = &huma.Response{Description: "Nothing has changed."}
			continue
		}
		var slugs []string
		for _, r := range rules {
			if r.status == code && !slices.Contains(slugs, r.slug) {
				slugs = append(slugs, r.slug)
			}
		}
		if r, ok := byStatus[code]; ok && !slices.Contains(slugs, r.slug) {
			slugs = append(slugs, r.slug)
		}
		responses[strconv.Itoa(code)] = &huma.Response{
			Description: http.StatusText(code) + ". Types: " + strings.Join(slugs, ", ") + ".",
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}
	}
	return responses
}
