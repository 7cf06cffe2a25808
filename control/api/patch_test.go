package api

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// mergeApply is MergePatch of RFC 7396 §2, word for word.
func mergeApply(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	out := map[string]any{}
	if ok {
		for name, v := range t {
			out[name] = v
		}
	}
	for name, v := range p {
		if v == nil {
			delete(out, name)
		} else {
			out[name] = mergeApply(out[name], v)
		}
	}
	return out
}

func parse(t *testing.T, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMergeDiff(t *testing.T) {
	for _, c := range []struct{ before, after, patch string }{
		{`{"a":1}`, `{"a":1}`, `{}`},
		{`{"a":1}`, `{"a":2}`, `{"a":2}`},
		{`{"a":1}`, `{}`, `{"a":null}`},
		{`{}`, `{"a":1}`, `{"a":1}`},
		{`{"a":null}`, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, `{"a":null}`, `{"a":null}`},
		{`{"a":null}`, `{}`, `{}`},
		{`{"a":[1,2]}`, `{"a":[1,3]}`, `{"a":[1,3]}`},
		{`{"p":{"ada":{"muted":true,"role":"host"}}}`, `{"p":{"ada":{"muted":false,"role":"host"}}}`, `{"p":{"ada":{"muted":false}}}`},
		{`{"p":{"ada":{"muted":true}}}`, `{"p":{"ada":{"muted":true},"bob":{"muted":true}}}`, `{"p":{"bob":{"muted":true}}}`},
		{`{"p":{"ada":{"muted":true}}}`, `{"p":{}}`, `{"p":{"ada":null}}`},
		{`{"p":1}`, `{"p":{}}`, `{"p":{}}`},
		{`{"p":{"x":1}}`, `{"p":1}`, `{"p":1}`},
		{`{}`, `{"p":{"x":{}}}`, `{"p":{"x":{}}}`},
		{`{"p":1}`, `{"p":{"x":null,"y":1}}`, `{"p":{"y":1}}`},
	} {
		if got := mergeDiff(parse(t, c.before), parse(t, c.after)); !reflect.DeepEqual(got, parse(t, c.patch)) {
			t.Errorf("diff(%s, %s) = %v, want %s", c.before, c.after, got, c.patch)
		}
	}
}

// withoutNull makes absent what is null, in objects; arrays are left as they are.
func withoutNull(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for name, v := range m {
		if v != nil {
			out[name] = withoutNull(v)
		}
	}
	return out
}

func anyTree() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.IntRange(0, 2), func(i int) any { return float64(i) }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Map(rapid.SampledFrom([]string{"", "x"}), func(s string) any { return s }),
	)
	g := leaf
	for range 3 {
		inner := g
		g = rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(inner, 0, 2), func(s []any) any { return s }),
			rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), inner, 0, 3), func(m map[string]any) any { return m }))
	}
	return g
}

func TestMergeDiffIsUndoneByApply(t *testing.T) {
	object := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), anyTree(), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		a, b := object.Draw(t, "before"), object.Draw(t, "after")
		patch := mergeDiff(a, b)
		if got := withoutNull(mergeApply(a, patch)); !reflect.DeepEqual(got, withoutNull(b)) {
			t.Fatalf("apply(diff(a, b), a) = %v, want %v (patch %v)", got, b, patch)
		}
		if p := mergeDiff(b, b); len(p) != 0 {
			t.Fatalf("diff(b, b) = %v, want nothing", p)
		}
	})
}
