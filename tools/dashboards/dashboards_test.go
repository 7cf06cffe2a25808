package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is in deploy/grafana is what this command writes, and every panel says what it shows, in which unit, for the jobs that its
// reader has chosen.
func TestDashboards(t *testing.T) {
	dir := filepath.Join("..", "..", "deploy", "grafana")
	counters := regexp.MustCompile(`rotunda_\w+_total|_seconds_(count|sum|bucket)`)
	names := map[string]bool{}
	for _, d := range dashboards {
		want, err := d.json()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, d.file))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not as it would be written (%v): cd tools && go run ./dashboards", d.file, err)
		}
		if !json.Valid(got) || names[d.title] || d.about == "" || len(d.panels) < 5 {
			t.Errorf("%s: no JSON, a title that another has, or too little to say", d.file)
		}
		names[d.title] = true
		for _, p := range d.panels {
			if p.title == "" || p.about == "" || p.unit == "" || len(p.series) == 0 {
				t.Errorf("%s, %q: a title, a description, a unit and an expression are needed", d.file, p.title)
			}
			for _, s := range p.series {
				ours := strings.Contains(s.expr, "rotunda:") // of all jobs: rules have summed it up
				if !ours && !strings.Contains(s.expr, `job=~"$job"`) || s.name == "" {
					t.Errorf("%s, %q: %s is not of the job chosen, or its lines have no name", d.file, p.title, s.expr)
				}
				if counters.MatchString(s.expr) && !strings.Contains(s.expr, "rate(") {
					t.Errorf("%s, %q: %s is a counter without a rate", d.file, p.title, s.expr)
				}
				if strings.Count(s.expr, "(") != strings.Count(s.expr, ")") || strings.Count(s.expr, "{") != strings.Count(s.expr, "}") {
					t.Errorf("%s, %q: %s does not close what it opens", d.file, p.title, s.expr)
				}
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(dashboards) {
		t.Errorf("%d files for %d dashboards, %v", len(files), len(dashboards), err)
	}
}
