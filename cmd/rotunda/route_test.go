package main

import (
	"slices"
	"testing"
)

func TestRoute(t *testing.T) {
	r := route{[]string{"http://a"}}
	want := func(step string, bases ...string) {
		t.Helper()
		if !slices.Equal(r.bases, bases) {
			t.Errorf("%s: %v, want %v", step, r.bases, bases)
		}
	}
	r.failed("http://a")
	want("alone it stays", "http://a")
	r.learn([]string{"http://b/", "http://a", "javascript:alert(1)", "http://c/x", "http://b", ":"})
	want("learns origins once each", "http://a", "http://b", "http://c")
	r.failed("http://b")
	want("late news", "http://a", "http://b", "http://c")
	r.failed("http://a")
	want("goes on", "http://b", "http://c", "http://a")
	if r.move([]string{"http://c", "http://b"}) || r.move(nil) {
		t.Error("moves though it is there, or has nowhere to go")
	}
	if !r.move([]string{"http://d", "http://a"}) {
		t.Error("does not move")
	}
	want("moves, and keeps the way back", "http://d", "http://a", "http://b")
	if got := (&route{}).base(); got != "" {
		t.Errorf("base of nothing: %q", got)
	}
}
