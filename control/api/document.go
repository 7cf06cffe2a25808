package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// document is the OpenAPI document before any call is in it.
func document(registry huma.Registry) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Rotunda", Version: "1",
			Description: "Live audio rooms. Any node takes any call. Audio goes in by WHIP (RFC 9725) and out by WHEP, at " +
				"/v1/rooms/{room}/whip and /v1/rooms/{room}/whep, which are not part of this document.\n\n" +
				"Errors are problems (RFC 9457); their types are stable. Whatever changes something takes an Idempotency-Key.",
		},
		Servers: []*huma.Server{{URL: "/", Description: "The node that serves this document."}},
		Tags: []*huma.Tag{
			{Name: "Rooms", Description: "Rooms, from planned to over."},
			{Name: "Requests to speak", Description: "From listening to the stage."},
			{Name: "People", Description: "Who is who, and moderation."},
			{Name: "Invitations", Description: "From the host to the stage."},
			{Name: "Pins", Description: "Links that the room shows."},
			{Name: "Rotation", Description: "Timed turns."},
			{Name: "Profiles", Description: "What people say of themselves."},
			{Name: "Reports", Description: "From people to the operator."},
			{Name: "Operator", Description: "For whoever runs the mesh: tokens with the scope \"operator\"."},
			{Name: "Sign-in", Description: "With the operator's own accounts, in a browser."},
			{Name: "Mesh", Description: "Which node to use."},
		},
		Components: &huma.Components{
			Schemas: registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{"bearer": {
				Type: "http", Scheme: "bearer", BearerFormat: "JWT",
				Description: "EdDSA; sub is the user, name what others see, room and role (both optional) limit what the token is good for.",
			}},
		},
	}
}

// property says of a member of an answer what its Go type cannot: those types belong to the room, which knows no schemas.
type property struct {
	about   string
	example any
	enum    []any
}

// described is every member of the schemas that are made from the room's own types.
var described = map[string]map[string]property{
	"Room": {
		"id": {"The room's id, also the last part of its link, /r/{room}.", "k3v9q7m2x4ab", nil}, "seq": {"How many events its log holds; grows with every change.", 17, nil},
		"state": {"Where it is in its life.", "live", phases}, "title": {"What it is called.", "What the tide leaves behind", nil},
		"description": {"What it is about, in lines.", "A walk along the shore.", nil}, "rules": {"What the host asks of everybody, in lines.", "One at a time.", nil},
		"mode": {"The preset of its policy.", "discussion", modes}, "tags": {"Its tags.", []any{"sea"}, nil}, "language": {"A language tag; may be empty.", "en", nil},
		"startsAt": {"When it was planned to start.", nil, nil}, "createdAt": {"When it was made.", "2026-11-23T12:00:00Z", nil},
		"startedAt": {"When it went live.", "2026-11-23T12:00:00Z", nil}, "endedAt": {"When it was over.", nil, nil},
		"host": {"The host's user id.", "g_7h2k9m4p", nil}, "home": {"The node that mixes it.", "us-east-1", nil}, "epoch": {"How often home has moved, and one.", 1, nil},
		"participants": {"The people on stage, by user id.", nil, nil}, "requests": {"The requests to speak, by user id.", nil, nil},
		"removed": {"The people who were removed, by user id.", nil, nil}, "policy": {"What the host allows.", nil, nil},
	},
	"Participant": {
		"name": {"What others see.", "Ada", nil}, "role": {"What the person is in the room.", "host", roles}, "muted": {"Whether the microphone is shut.", false, nil},
		"ssrc": {"Under which CSRC the person is heard (RFC 3550).", 2771984017, nil}, "live": {"Whether a microphone is connected.", true, nil},
		"node": {"Where the microphone is or was connected; empty: nowhere yet.", "us-east-1", nil}, "since": {"On stage since.", "2026-11-23T12:00:00Z", nil},
	},
	"SpeakRequest": {
		"name": {"What others see.", "Bob", nil}, "at": {"When the person asked.", "2026-11-23T12:05:00Z", nil},
		"order": {"The lowest is next.", 3, nil}, "note": {"What it is about.", "About the second point.", nil},
	},
	"Removal": {"at": {"When.", "2026-11-23T12:07:00Z", nil}, "ban": {"Whether the person is refused everything in this room.", true, nil}},
	"Policy": {
		"speakersMax": {"How many people may be on stage, the host included.", 20, nil}, "requests": {"Who may ask to speak.", "everyone", []any{"everyone", "closed"}},
	},
	"RoomSummary": {
		"id": {"The room's id.", "k3v9q7m2x4ab", nil}, "seq": {"How many events its log holds.", 17, nil}, "state": {"Where it is in its life.", "live", phases},
		"title": {"What it is called.", "What the tide leaves behind", nil}, "mode": {"The preset of its policy.", "discussion", modes}, "tags": {"Its tags.", []any{"sea"}, nil},
		"language": {"A language tag; may be empty.", "en", nil}, "startsAt": {"When it was planned to start.", nil, nil}, "createdAt": {"When it was made.", "2026-11-23T12:00:00Z", nil},
		"startedAt": {"When it went live.", "2026-11-23T12:00:00Z", nil}, "endedAt": {"When it was over.", nil, nil}, "host": {"The host's user id.", "g_7h2k9m4p", nil},
		"hostName": {"The host's name.", "Ada", nil}, "home": {"The node that mixes it.", "us-east-1", nil}, "speakers": {"How many people are on stage.", 3, nil},
	},
}

var (
	phases = []any{"scheduled", "live", "ended"}
	modes  = []any{"discussion", "qa", "lecture"}
	roles  = []any{"host", "cohost", "speaker"}
)

// inputs are the schemas of what is sent to us. What we send may grow, and a client that refuses unknown members would then
// break; so only these are closed.
var inputs = []string{
	"AckBody", "CreateBody", "EditBody", "ExtendBody", "GuestBody", "InviteBody", "PinBody", "PlaceBody", "PolicyBody", "ProfileBody",
	"LinkBody", "ReactionBody", "ReasonBody", "RemoveBody", "ReportBody", "RequestBody", "RevokeBody", "RoleBody", "RotationBody", "WarnBody",
}

// describe writes the descriptions into the schemas.
func describe(schemas map[string]*huma.Schema) {
	for name, s := range schemas {
		if closed, ok := s.AdditionalProperties.(bool); ok && !closed && !slices.Contains(inputs, name) {
			s.AdditionalProperties = nil
		}
	}
	for name, properties := range described {
		schema, ok := schemas[name]
		if !ok {
			panic("api: a schema is described that does not exist: " + name)
		}
		for member, p := range properties {
			s, ok := schema.Properties[member]
			if !ok {
				panic("api: a member is described that does not exist: " + name + "." + member)
			}
			if s.Ref != "" { // OpenAPI 3.1 §4.8.23: what stands beside a reference counts
				continue
			}
			s.Description, s.Enum = p.about, p.enum
			if p.example != nil {
				s.Examples = []any{p.example}
			}
			if s.Type == huma.TypeArray {
				s.Nullable = false
			}
		}
	}
}
