package token_test

import (
	"errors"
	"testing"
	"time"

	"rotunda"
	"rotunda/control/token"
)

// The scope "operator" is read from among other words, and never together with a room or a role: a role stays a maximum.
func TestOperatorScope(t *testing.T) {
	k := ring(t)
	free := func(scope string) string {
		return signed(goodHeader, payload(map[string]string{"room": "", "role": "", "scope": scope}))
	}
	for scope, want := range map[string]bool{
		`"operator"`: true, `"rooms:read operator"`: true, `"operators"`: false, `"Operator"`: false, `"rooms:read"`: false,
		"\"operator\\n\"": false,
	} {
		if c, err := k.Check(now, free(scope)); err != nil || c.Operator != want {
			t.Errorf("scope %s: operator %v, %v, want %v", scope, c.Operator, err, want)
		}
	}
	for what, raw := range map[string]string{
		"with a room": signed(goodHeader, payload(map[string]string{"role": "", "scope": `"operator"`})),
		"with a role": signed(goodHeader, payload(map[string]string{"room": "", "role": `"host"`, "scope": `"operator"`})),
		"in a list":   free(`["operator"]`), "empty": free(`""`), "true": free(`true`),
	} {
		if _, err := k.Check(now, raw); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
	op := token.Claims{User: "olga", ID: "t2", Issued: now, Expires: now.Add(time.Hour), Operator: true}
	if got, err := k.Check(now, mint(t, op)); err != nil || got != op {
		t.Errorf("Check(Mint(operator)) = %+v, %v", got, err)
	}
	op.Create = true
	if got, err := k.Check(now, mint(t, op)); err != nil || got != op {
		t.Errorf("Check(Mint(operator who may open rooms)) = %+v, %v", got, err)
	}
	s, err := token.NewSigner("k1", key)
	if err != nil {
		t.Fatal(err)
	}
	op.Role = rotunda.Host
	if raw, err := s.Mint(op); err == nil {
		t.Errorf("an operator's token with a role was minted: %s", raw)
	}
}

// The scope "room:create" is a word of its own: exactly that one, with a role or without.
func TestCreateScope(t *testing.T) {
	k := ring(t)
	for scope, want := range map[string]bool{
		`"room:create"`: true, `"rooms:read room:create"`: true, `"operator room:create"`: true, `"room:created"`: false,
		`"Room:Create"`: false, `"room"`: false, `"operator"`: false, "\"room:create\\n\"": false, `"room:create,operator"`: false,
	} {
		raw := signed(goodHeader, payload(map[string]string{"room": "", "role": "", "scope": scope}))
		if c, err := k.Check(now, raw); err != nil || c.Create != want {
			t.Errorf("scope %s: create %v, %v, want %v", scope, c.Create, err, want)
		}
	}
	c := token.Claims{User: "ada", ID: "t3", Role: rotunda.Host, Issued: now, Expires: now.Add(time.Hour), Create: true}
	if got, err := k.Check(now, mint(t, c)); err != nil || got != c {
		t.Errorf("Check(Mint(%+v)) = %+v, %v", c, got, err)
	}
}
