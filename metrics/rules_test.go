package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every series that an alert rule names is exported, and every alert has a page that says what to do, which has no other pages
// beside it.
func TestRulesNameWhatIsThere(t *testing.T) {
	rules, err := os.ReadFile("../deploy/prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	set := New("test", "none")
	set.Members("eu", "alive").Set(1) // there once there are others
	set.LinkRTT("eu").Set(1)
	families, err := set.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, f := range families {
		exported[f.GetName()] = true
	}
	dashboards, err := filepath.Glob("../deploy/grafana/*.json")
	if err != nil || len(dashboards) < 5 {
		t.Fatalf("%d dashboards, %v", len(dashboards), err)
	}
	drawn := string(rules)
	recorded := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)record: (\S+)`).FindAllStringSubmatch(string(rules), -1) {
		recorded[m[1]] = true
	}
	for _, file := range dashboards {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		drawn += string(b)
	}
	for _, name := range regexp.MustCompile(`\brotunda:[\w:]+`).FindAllString(drawn, -1) {
		if !recorded[name] {
			t.Errorf("%s is named and no rule records it", name)
		}
	}
	named := regexp.MustCompile(`\brotunda_\w+`).FindAllString(drawn, -1)
	for _, name := range named {
		if !exported[name] && !exported[regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")] {
			t.Errorf("a rule or a dashboard names %s, which no node exports", name)
		}
	}
	pages := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		page := "docs/runbooks/" + m[1] + ".md"
		pages[filepath.Base(page)] = true
		if _, err := os.Stat("../" + page); err != nil || !strings.Contains(string(rules), "runbook: "+page) {
			t.Errorf("%s has no page %s, or does not name it", m[1], page)
		}
	}
	files, err := os.ReadDir("../docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !pages[f.Name()] {
			t.Errorf("docs/runbooks/%s is about no alert", f.Name())
		}
	}
	if len(named) < 5 || len(pages) < 5 {
		t.Errorf("only %d series and %d alerts were found", len(named), len(pages))
	}
}
