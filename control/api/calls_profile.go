package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rotunda"
	"rotunda/control/people"
	"rotunda/control/token"
)

// idsMax is how many people one call tells of.
const idsMax = 100

type (
	person struct {
		User   rotunda.UserID `json:"user" example:"g_7h2k9m4p" doc:"The person's user id."`
		Name   string         `json:"name,omitempty" example:"Ada" doc:"What others see, where the person has chosen a name; else the one in their token counts."`
		Bio    string         `json:"bio,omitempty" example:"Walks along shores." doc:"A line about themselves."`
		Avatar string         `json:"avatar,omitempty" format:"uri-reference" example:"/v1/avatars/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" doc:"Their picture, on any node; not there: none."`
	}
	peopleCall struct {
		Users []string `query:"user,explode" maxItems:"100" example:"[\"g_7h2k9m4p\"]" doc:"Whose profiles; repeated for each."`
	}
	peopleBody struct {
		People []person `json:"people" nullable:"false" doc:"Those of them who have a profile, in the order asked."`
	}
	peopleAnswer struct {
		Body peopleBody
	}
	meBody struct {
		person
		Hidden  bool      `json:"hidden" example:"false" doc:"Left out of rosters while listening. Who is on stage is seen."`
		Expires time.Time `json:"expires" example:"2026-11-24T00:00:00Z" doc:"Until when the token is good."`
	}
	meAnswer struct {
		Body meBody
	}
	profileBody struct {
		Name   *string `json:"name,omitempty" maxLength:"256" example:"Ada" doc:"At most 64 characters, none of them invisible; empty: the name in the token."`
		Bio    *string `json:"bio,omitempty" maxLength:"1120" example:"Walks along shores." doc:"At most 280 characters, in one line."`
		Hidden *bool   `json:"hidden,omitempty" example:"false" doc:"Left out of rosters while listening."`
	}
	profileCall struct {
		Body profileBody
	}
	pictureCall struct {
		RawBody []byte `contentType:"image/*" doc:"PNG, JPEG, GIF or WebP."`
	}
	avatarCall struct {
		Hash        string `path:"hash" maxLength:"128" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" doc:"The picture's name: the SHA-256 of its bytes."`
		Here        bool   `query:"here" example:"false" doc:"Only if this node has it: how nodes ask each other."`
		IfNoneMatch string `header:"If-None-Match" doc:"Whatever it says: a name stands for one picture for ever, so 304."`
	}
	emptyAnswer struct{}
)

func (a *API) registerProfiles() {
	const tag, me = "Profiles", "/v1/profile"
	register(a, operation{
		id: "listPeople", method: http.MethodGet, path: "/v1/people", tag: tag, summary: "Get people's profiles",
		about: "Names, pictures and bios of up to 100 people at once.",
	}, a.listPeople)
	register(a, operation{
		id: "getProfile", method: http.MethodGet, path: me, tag: tag, summary: "Get one's own profile",
		about: "Who the token says one is, and what others see.", user: true, errors: []int{http.StatusForbidden, http.StatusServiceUnavailable},
	}, func(ctx context.Context, _ *struct{}) (*meAnswer, error) { return a.me(claimsOf(ctx)), nil })
	register(a, operation{
		id: "editProfile", method: http.MethodPatch, path: me, tag: tag, summary: "Change one's profile",
		about: "What is not named stays. A guest's profile is forgotten with the token.", user: true, errors: peopleErrors,
	}, func(ctx context.Context, in *profileCall) (*meAnswer, error) {
		return a.editProfile(ctx, func(p *people.Profile) {
			assign(&p.Name, in.Body.Name)
			assign(&p.Bio, in.Body.Bio)
			assign(&p.Hidden, in.Body.Hidden)
			p.Name, p.Bio = strings.TrimSpace(p.Name), strings.TrimSpace(p.Bio)
		})
	})
	register(a, operation{
		id: "forgetProfile", method: http.MethodDelete, path: me, tag: tag, summary: "Take one's profile away",
		user: true, status: http.StatusNoContent, errors: peopleErrors,
	}, func(ctx context.Context, _ *struct{}) (*emptyAnswer, error) {
		return &emptyAnswer{}, a.cfg.People.Forget(ctx, claimsOf(ctx).User)
	})
	register(a, operation{
		id: "setAvatar", method: http.MethodPut, path: me + "/avatar", tag: tag, summary: "Upload one's picture",
		about: "Of at most 2 MiB and 4 megapixels. The square in its middle is kept, encoded anew in at most 64 KiB; whatever else is in the file is not.",
		user:  true, rate: a.limits.pictures, bodyMax: people.UploadMax, errors: peopleErrors,
	}, a.setAvatar)
	register(a, operation{
		id: "removeAvatar", method: http.MethodDelete, path: me + "/avatar", tag: tag, summary: "Take one's picture away", user: true, errors: peopleErrors,
	}, func(ctx context.Context, _ *struct{}) (*meAnswer, error) {
		return a.editProfile(ctx, func(p *people.Profile) { p.Avatar, p.Origin = "", "" })
	})
	register(a, operation{
		id: "signOut", method: http.MethodPost, path: me + "/sign-out", tag: tag, summary: "Sign out everywhere",
		about: "Takes back every token of this person that was issued until now, on all nodes.",
		user:  true, status: http.StatusNoContent, errors: peopleErrors,
	}, func(ctx context.Context, _ *struct{}) (*emptyAnswer, error) {
		who := claimsOf(ctx).User
		return &emptyAnswer{}, a.cfg.People.SignOut(ctx, who, who)
	})
	register(a, operation{
		id: "getAvatar", method: http.MethodGet, path: "/v1/avatars/{hash}", tag: tag, summary: "Get a picture",
		about:  "A PNG or JPEG, square, at most 256 pixels wide. Only pictures that a profile shows; from this node or the one that has it.",
		errors: []int{http.StatusNotFound, http.StatusNotModified, http.StatusServiceUnavailable},
	}, a.getAvatar)
}

// peopleErrors are the refusals of calls that write to the people's chain.
var peopleErrors = []int{http.StatusForbidden, http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// assign is an assignment where there is something to assign.
func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// personOf is what everybody may know of a person.
func personOf(u rotunda.UserID, p people.Profile) person {
	out := person{User: u, Name: p.Name, Bio: p.Bio}
	if p.Avatar != "" {
		out.Avatar = "/v1/avatars/" + string(p.Avatar)
	}
	return out
}

func (a *API) listPeople(_ context.Context, in *peopleCall) (*peopleAnswer, error) {
	out := &peopleAnswer{Body: peopleBody{People: []person{}}}
	for _, u := range in.Users[:min(len(in.Users), idsMax)] {
		if p, ok := a.cfg.People.Profile(rotunda.UserID(u)); ok {
			out.Body.People = append(out.Body.People, personOf(rotunda.UserID(u), p))
		}
	}
	return out, nil
}

func (a *API) me(c token.Claims) *meAnswer {
	p, _ := a.cfg.People.Profile(c.User)
	out := &meAnswer{Body: meBody{person: personOf(c.User, p), Hidden: p.Hidden, Expires: c.Expires}}
	if out.Body.Name == "" {
		out.Body.Name = c.Name
	}
	return out
}

func (a *API) editProfile(ctx context.Context, edit func(*people.Profile)) (*meAnswer, error) {
	c := claimsOf(ctx)
	if _, err := a.cfg.People.EditProfile(ctx, c.User, a.profileEnd(c), edit); err != nil {
		return nil, err
	}
	return a.me(c), nil
}

// profileEnd is when a person's profile is forgotten: with a guest's token, or never.
func (a *API) profileEnd(c token.Claims) time.Time {
	if strings.HasPrefix(string(c.User), guestPrefix) {
		return c.Expires
	}
	return time.Time{}
}

func (a *API) setAvatar(ctx context.Context, in *pictureCall) (*meAnswer, error) {
	c := claimsOf(ctx)
	if err := a.showPicture(ctx, c, in.RawBody); err != nil {
		return nil, err
	}
	return a.me(c), nil
}

// showPicture makes an upload the person's picture.
func (a *API) showPicture(ctx context.Context, c token.Claims, upload []byte) error {
	if a.cfg.Pictures == nil {
		return errPictures
	}
	h, err := a.cfg.Pictures.Add(ctx, upload)
	if err != nil {
		return err
	}
	_, err = a.cfg.People.EditProfile(ctx, c.User, a.profileEnd(c), func(p *people.Profile) { p.Avatar, p.Origin = h, a.cfg.Self.ID })
	return err
}

func (a *API) getAvatar(ctx context.Context, in *avatarCall) (*huma.StreamResponse, error) {
	if a.cfg.Pictures == nil {
		return nil, fmt.Errorf("picture: %w", people.ErrUnknown)
	}
	h := people.Hash(in.Hash)
	var picture []byte
	var err error
	if in.Here {
		picture, err = a.cfg.Pictures.Here(h)
	} else {
		picture, err = a.cfg.Pictures.Get(ctx, h)
	}
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Cache-Control", "public, max-age=31536000, immutable")
		ctx.SetHeader("ETag", `"`+in.Hash+`"`)
		if in.IfNoneMatch != "" {
			ctx.SetStatus(http.StatusNotModified)
			return
		}
		ctx.SetHeader("Content-Type", people.MediaType(picture))
		_, _ = ctx.BodyWriter().Write(picture) // the client is gone, or gets it
	}}, nil
}
