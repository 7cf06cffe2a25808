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
	families, err := New("test", "none").registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, f := range families {
		exported[f.GetName()] = true
	}
	named := regexp.MustCompile(`\brotunda_\w+`).FindAllString(string(rules), -1)
	for _, name := range named {
		if !exported[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("a rule names %s, which no node exports", name)
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
