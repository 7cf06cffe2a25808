package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rotunda"
	"rotunda/control"
	"rotunda/control/token"
)

type (
	guestBody struct {
		Name string `json:"name" minLength:"1" maxLength:"256" example:"Ada" doc:"What others see: 1 to 64 characters, none of them invisible."`
		// A picture of a phone's camera does not fit; pages make it smaller first, or upload it with the token.
		Avatar []byte `json:"avatar,omitempty" maxLength:"60000" doc:"A small picture, base64, of at most 44 KiB; as PUT /v1/profile/avatar takes it."`
	}
	guestCall struct {
		Cookies string `header:"Cookie" hidden:"true"`
		Body    guestBody
	}
	guestAnswerBody struct {
		User    rotunda.UserID `json:"user" example:"g_7h2k9m4p" doc:"The new user id."`
		Name    string         `json:"name" example:"Ada" doc:"What others see."`
		Token   string         `json:"token" example:"eyJhbGciOiJFZERTQSIs…" doc:"The bearer token. Whoever has it is this person."`
		Expires time.Time      `json:"expires" example:"2026-11-24T00:00:00Z" doc:"Until when the token is good."`
	}
	guestAnswer struct {
		SetCookie string `header:"Set-Cookie" doc:"Keeps the guest's identity in the browser: asking again gives the same user."`
		Body      guestAnswerBody
	}
	doorBody struct {
		Guests bool    `json:"guests" doc:"Whether whoever gives a name may come in."`
		SignIn bool    `json:"signIn" doc:"Whether there are accounts to sign in with: /v1/sign-in."`
		Create Creator `json:"create" enum:"everyone,accounts,scope" doc:"Who may open rooms: whoever has a token; who has signed in; only whose token says so."`
	}
	doorAnswer struct {
		Body doorBody
	}
	edgesCall struct {
		Room string `query:"room" example:"k3v9q7m2x4ab" doc:"The room that is to be heard."`
	}
	edgeEntry struct {
		Node      rotunda.NodeID `json:"node" example:"eu-west-1" doc:"The node's id."`
		Region    rotunda.Region `json:"region" example:"eu-west" doc:"Where it stands."`
		URL       string         `json:"url" format:"uri" example:"https://eu-west-1.example.org" doc:"Its base URL: /v1/ping, /v1/rooms/{room}/whep and all else are below it."`
		Listeners uint32         `json:"listeners" example:"120" doc:"How many sessions it has, as far as is known here."`
	}
	edgesBody struct {
		Edges []edgeEntry `json:"edges" nullable:"false" doc:"Nodes to try, the best guess first."`
	}
	edgesAnswer struct {
		Body edgesBody
	}
	regionEntry struct {
		Region rotunda.Region `json:"region" example:"eu-west" doc:"The region's name."`
		Nodes  int            `json:"nodes" example:"3" doc:"How many nodes there take sessions, as far as is known here."`
		URL    string         `json:"url,omitempty" format:"uri" example:"https://eu-west-1.example.org" doc:"The base URL of one of them: a room that is kept there, and not in this node's region, has to be made at it. Not there: no node is known."`
	}
	regionsBody struct {
		Own     rotunda.Region `json:"own" example:"us-east" doc:"The region of the node that answers."`
		Regions []regionEntry  `json:"regions" nullable:"false" doc:"In the order of their names."`
	}
	regionsAnswer struct {
		Body regionsBody
	}
	pingAnswer struct {
		Timing string `header:"Timing-Allow-Origin" example:"*" doc:"Lets a page of any origin read the timing."`
	}
)

func (a *API) registerMesh() {
	register(a, operation{
		id: "createGuest", method: http.MethodPost, path: "/v1/guests", tag: "People", summary: "Become a guest",
		about: "An identity and its token, where the operator allows guests. A browser that asks again stays the same guest.", status: http.StatusCreated, once: true,
		rate: a.limits.guests, errors: []int{http.StatusForbidden, http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout},
	}, a.createGuest)
	register(a, operation{
		id: "getDoor", method: http.MethodGet, path: "/v1/door", tag: "People", summary: "Ask how people come in",
		about: "For a page to know what to offer: a name, signing in, or both.",
	}, func(context.Context, *struct{}) (*doorAnswer, error) {
		return &doorAnswer{doorBody{Guests: a.cfg.Signer != nil && a.cfg.Guests, SignIn: a.cfg.SignIn != nil, Create: a.cfg.Creator}}, nil
	})
	const tag = "Mesh"
	register(a, operation{
		id: "listEdges", method: http.MethodGet, path: "/v1/edges", tag: tag, summary: "List nodes to try",
		about: "Best guess first: this node's region, then by distance, then by load. Busy nodes come after all others, and draining ones " +
			"are left out. Of a room that is kept in regions, only nodes there. A client times /v1/ping on the first few and takes the fastest.",
		errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, a.listEdges)
	register(a, operation{
		id: "listRegions", method: http.MethodGet, path: "/v1/regions", tag: tag, summary: "List regions that a room may be kept in",
		about:  "Those that ever had a node with a key of its region. What is made with one without a living node can be heard when there is one again.",
		errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, a.listRegions)
	register(a, operation{
		id: "ping", method: http.MethodGet, path: "/v1/ping", tag: tag, summary: "Answer at once", about: "For clients to time.",
		status: http.StatusNoContent,
	}, func(context.Context, *struct{}) (*pingAnswer, error) { return &pingAnswer{Timing: "*"}, nil })
	register(a, operation{
		id: "getOpenAPI", method: http.MethodGet, path: "/v1/openapi.json", tag: tag, summary: "Get this description",
		about: "OpenAPI 3.1.",
	}, a.getOpenAPI)
}

// guestPrefix starts the user id of every guest, and of nobody else whom this mesh signs in.
const guestPrefix = "g_"

func (a *API) createGuest(ctx context.Context, in *guestCall) (*guestAnswer, error) {
	signer := a.keys.Load().signer
	if signer == nil || !a.cfg.Guests {
		return nil, errGuests
	}
	secret, err := a.browser(in.Cookies)
	if err != nil {
		return nil, err
	}
	c, err := a.newClaims(guestOf(secret), strings.TrimSpace(in.Body.Name))
	if err != nil {
		return nil, err
	}
	if err := token.ValidName(c.Name); err != nil || c.Name == "" {
		p := byStatus[http.StatusUnprocessableEntity].problem(http.StatusUnprocessableEntity)
		p.Detail = "body.name: 1 to 64 characters, none of them invisible"
		p.Errors = []fieldProblem{{Location: "body.name", Message: "1 to 64 characters, none of them invisible"}}
		return nil, p
	}
	raw, err := signer.Mint(c)
	if err != nil {
		return nil, err
	}
	if len(in.Body.Avatar) > 0 {
		if err := allow(a.limits.pictures, a.cfg.Now(), "guest "+addressOf(ctx)); err != nil {
			return nil, err
		}
		if err := a.showPicture(ctx, c, in.Body.Avatar); err != nil {
			return nil, err
		}
	}
	return &guestAnswer{SetCookie: a.rememberBrowser(secret), Body: guestAnswerBody{User: c.User, Name: c.Name, Token: raw, Expires: c.Expires}}, nil
}

func (a *API) listEdges(ctx context.Context, in *edgesCall) (*edgesAnswer, error) {
	if in.Room != "" {
		_, err := a.cfg.Control.Get(ctx, rotunda.RoomID(in.Room))
		if outside := new(control.Outside); errors.As(err, &outside) {
			return &edgesAnswer{Body: edgesBody{Edges: a.elsewhereIn(outside.Fence, 0)}}, nil
		}
		if err != nil {
			return nil, err
		}
	}
	self, members := a.view()
	f, _ := a.cfg.Control.Fence(rotunda.RoomID(in.Room))
	return &edgesAnswer{Body: edgesBody{Edges: entriesOf(rankEdges(self, f.Within(members)))}}, nil
}

func (a *API) listRegions(ctx context.Context, _ *struct{}) (*regionsAnswer, error) {
	regions, err := a.cfg.Control.Regions(ctx)
	if err != nil {
		return nil, err
	}
	self, members := a.view()
	out := regionsBody{Own: self.Region, Regions: []regionEntry{}}
	for _, r := range regions {
		e := regionEntry{Region: r}
		there := slices.DeleteFunc(slices.Clone(members), func(m rotunda.Member) bool { return m.Region != r || !takes(m) })
		if e.Nodes = len(there); e.Nodes > 0 {
			e.URL = rankEdges(self, there)[0].Addresses.HTTP
		}
		out.Regions = append(out.Regions, e)
	}
	return &regionsAnswer{Body: out}, nil
}

func (a *API) getOpenAPI(context.Context, *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		ctx.SetHeader("Cache-Control", "max-age=300")
		_, _ = ctx.BodyWriter().Write(a.openapi) // the client is gone, or gets it
	}}, nil
}
