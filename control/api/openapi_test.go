package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rotunda/control/eventlog"
)

var update = flag.Bool("update", false, "rewrite docs/reference/openapi.json")

func openAPI(t *testing.T) (raw []byte, doc map[string]any) {
	t.Helper()
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	a := n.want(200, "GET", "/v1/openapi.json", "", "")
	if ct := a.header.Get("Content-Type"); ct != "application/vnd.oai.openapi+json;version=3.1" {
		t.Errorf("Content-Type %q", ct)
	}
	return []byte(a.raw), a.body
}

// The document is committed, so that a change of the API is seen where it is reviewed.
func TestOpenAPIIsCommitted(t *testing.T) {
	raw, _ := openAPI(t)
	file := filepath.Join("..", "..", "docs", "reference", "openapi.json")
	if *update {
		if err := os.WriteFile(file, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(committed, raw) {
		t.Error("docs/reference/openapi.json is not what the code says; go test ./control/api -run OpenAPI -update")
	}
}

// The calls of the contract that stand so far.
func TestOpenAPIListsEveryCall(t *testing.T) {
	_, doc := openAPI(t)
	want := map[string]string{
		"/v1/guests": "post", "/v1/rooms": "get post", "/v1/rooms/{room}": "get patch", "/v1/rooms/{room}/start": "post", "/v1/rooms/{room}/end": "post",
		"/v1/rooms/{room}/mute-all": "post", "/v1/rooms/{room}/requests": "delete post", "/v1/rooms/{room}/requests/{user}/approve": "post",
		"/v1/rooms/{room}/requests/{user}/deny": "post", "/v1/rooms/{room}/participants": "get", "/v1/rooms/{room}/participants/{user}": "delete",
		"/v1/rooms/{room}/participants/{user}/role": "put", "/v1/rooms/{room}/participants/{user}/mute": "delete post",
		"/v1/rooms/{room}/events": "get", "/v1/rooms/{room}/rewind.opus": "get", "/v1/door": "get", "/v1/edges": "get", "/v1/regions": "get",
		"/v1/ping": "get", "/v1/openapi.json": "get",
		"/v1/rooms/{room}/refresh": "post", "/v1/rooms/{room}/lock": "delete put", "/v1/rooms/{room}/invitations": "post",
		"/v1/rooms/{room}/invitations/{user}/accept": "post", "/v1/rooms/{room}/invitations/{user}/decline": "post",
		"/v1/rooms/{room}/participants/{user}/warn": "post", "/v1/rooms/{room}/bans/{user}": "delete", "/v1/rooms/{room}/reactions": "post",
		"/v1/rooms/{room}/speaker-link": "delete post put",
		"/v1/rooms/{room}/pins":         "post", "/v1/rooms/{room}/pins/{pin}": "delete", "/v1/rooms/{room}/pins/{pin}/approve": "post",
		"/v1/rooms/{room}/pins/{pin}/place": "put", "/v1/rooms/{room}/rotation": "delete post", "/v1/rooms/{room}/rotation/next": "post",
		"/v1/rooms/{room}/rotation/extend": "post", "/v1/rooms/{room}/reports": "post", "/v1/rooms/{room}/log": "get",
		"/v1/reports": "get", "/v1/people": "get", "/v1/profile": "delete get patch", "/v1/profile/avatar": "delete put",
		"/v1/profile/sign-out": "post", "/v1/avatars/{hash}": "get",
		"/v1/sign-in": "get", "/v1/sign-in/callback": "get", "/v1/sign-in/token": "post",
		"/v1/operator/reports": "get", "/v1/operator/reports/{report}/ack": "post", "/v1/operator/bans": "get",
		"/v1/operator/bans/{user}": "delete put", "/v1/operator/revocations": "post", "/v1/operator/profiles/{user}": "delete",
	}
	got := map[string]string{}
	for path, item := range doc["paths"].(map[string]any) {
		got[path] = strings.Join(slices.Sorted(maps.Keys(item.(map[string]any))), " ")
	}
	if !maps.Equal(got, want) {
		t.Errorf("paths %v\nwant %v", got, want)
	}
}

// What OpenAPI 3.1 asks of a document, as far as ours uses it.
func TestOpenAPIIsValid(t *testing.T) {
	_, doc := openAPI(t)
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi: %v", doc["openapi"])
	}
	if at(doc, "info", "title") == nil || at(doc, "info", "version") == nil {
		t.Errorf("info: %v", doc["info"])
	}
	tags := map[string]bool{}
	for _, tag := range doc["tags"].([]any) {
		tags[at(tag, "name").(string)] = true
	}
	ids := map[string]bool{}
	parameter := regexp.MustCompile(`\{([a-z]+)\}`)
	for path, item := range doc["paths"].(map[string]any) {
		for method, v := range item.(map[string]any) {
			where := method + " " + path
			op := v.(map[string]any)
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] || at(op, "summary") == nil || at(op, "summary") == "" {
				t.Errorf("%s: operationId %q, summary %v", where, id, op["summary"])
			}
			ids[id] = true
			for _, tag := range op["tags"].([]any) {
				if !tags[tag.(string)] {
					t.Errorf("%s: tag %v is not declared", where, tag)
				}
			}
			declared := map[string]bool{}
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				name := at(p, "name").(string)
				if in := at(p, "in"); in == "path" {
					declared[name] = at(p, "required") == true
				}
				if at(p, "schema") == nil || at(p, "description") == nil {
					t.Errorf("%s: parameter %s: %v", where, name, p)
				}
			}
			for _, m := range parameter.FindAllStringSubmatch(path, -1) {
				if !declared[m[1]] {
					t.Errorf("%s: {%s} is not declared, or not required", where, m[1])
				}
			}
			checkResponses(t, where, method, op)
		}
	}
	checkReferences(t, doc, doc)
}

func checkResponses(t *testing.T, where, method string, op map[string]any) {
	t.Helper()
	status := regexp.MustCompile(`^[1-5][0-9][0-9]$`)
	good := 0
	for code, r := range op["responses"].(map[string]any) {
		if !status.MatchString(code) || at(r, "description") == nil || at(r, "description") == "" {
			t.Errorf("%s: response %s: %v", where, code, r)
		}
		if code[0] == '2' || code == "303" {
			good++
		}
		if code[0] >= '4' && at(r, "content", "application/problem+json", "schema", "$ref") != "#/components/schemas/Problem" {
			t.Errorf("%s: response %s is no problem: %v", where, code, r)
		}
	}
	if good != 1 || at(op, "responses", "429") == nil {
		t.Errorf("%s: %d good answers, 429: %v", where, good, at(op, "responses", "429"))
	}
	changes := method != "get" && !strings.Contains(where, "/v1/guests") && !strings.Contains(where, "/v1/sign-in")
	security, secured := op["security"].([]any)
	needed := secured && len(security) == 1 // else without a token too
	if changes && !needed || secured != (at(op, "responses", "401") != nil) {
		t.Errorf("%s: security %v, 401 %v", where, op["security"], at(op, "responses", "401"))
	}
}

// checkReferences follows every $ref, and asks a description of every member of every schema.
func checkReferences(t *testing.T, doc, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			if at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		if properties, ok := v["properties"].(map[string]any); ok {
			for name, p := range properties {
				if at(p, "description") == nil && at(p, "$ref") == nil {
					t.Errorf("member %s is not described: %v", name, p)
				}
			}
		}
		for name, inner := range v {
			if name == "$schema" {
				t.Error("a $schema member")
			}
			checkReferences(t, doc, inner)
		}
	case []any:
		for _, inner := range v {
			checkReferences(t, doc, inner)
		}
	}
}

// Whatever is sent to us is closed, all the way down; whatever we send is open, so that it may grow.
func TestOpenAPIBodiesAreClosed(t *testing.T) {
	_, doc := openAPI(t)
	closed := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/components/schemas/")
				if !closed[name] {
					closed[name] = true
					walk(at(doc, "components", "schemas", name))
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, item := range doc["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			walk(at(op, "requestBody"))
		}
	}
	for name, s := range at(doc, "components", "schemas").(map[string]any) {
		if is := at(s, "additionalProperties") == false; is != closed[name] {
			t.Errorf("schema %s: closed %v, want %v", name, is, closed[name])
		}
	}
	if !closed["CreateBody"] || !closed["PolicyBody"] {
		t.Errorf("bodies found: %v", closed)
	}
}

// The examples are what the schemas allow: a body made of them is taken.
func TestOpenAPIExamplesWork(t *testing.T) {
	n := newNode(t, "us-east-1", new(eventlog.Memory), nil)
	ada := bearer(t, "ada", nil)
	doc := n.want(200, "GET", "/v1/openapi.json", "", "").body
	example := func(schema string) string {
		body := map[string]any{}
		for name, p := range at(doc, "components", "schemas", schema, "properties").(map[string]any) {
			if examples, ok := at(p, "examples").([]any); ok {
				body[name] = examples[0]
			}
		}
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	room := n.want(201, "POST", "/v1/rooms", ada, example("CreateBody")).header.Get("Location")
	n.want(200, "PATCH", room, ada, example("EditBody"))
	n.want(201, "POST", "/v1/guests", "", example("GuestBody"))
	n.want(200, "POST", room+"/requests", bearer(t, "bob", nil), example("RequestBody"))
	n.want(200, "POST", room+"/end", ada, example("ReasonBody"))
}
