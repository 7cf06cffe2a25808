// Command dashboards writes the Grafana dashboards in deploy/grafana: `cd tools && go run ./dashboards`. Its test fails while what is
// there is not what it would write.
//
// The invariant: a panel has a title, a description, a unit and one expression or more over the series of package metrics; every
// dashboard lets its reader choose the data source, and nothing on it is named by room, person or address.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// panel is one picture.
type panel struct {
	title, about, unit string
	wide               bool // across the whole page
	series             []series
}

// series is one expression and what its lines are called.
type series struct{ expr, name string }

// dashboard is one page.
type dashboard struct {
	file, title, about string
	by                 string // label to choose by; empty: none
	from               string // series that has that label
	panels             []panel
}

const rate = "[$__rate_interval]"

func main() {
	if err := write(filepath.Join("..", "deploy", "grafana")); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, d := range dashboards {
		b, err := d.json()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, d.file), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

type object = map[string]any

// json is the page as Grafana takes it.
func (d dashboard) json() ([]byte, error) {
	variables := []object{
		{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
		{"name": "job", "label": "Job", "type": "query", "datasource": source(), "query": "label_values(rotunda_build_info, job)", "refresh": 2,
			"multi": true, "includeAll": true, "current": object{"text": "All", "value": "$__all"}},
	}
	if d.by != "" {
		variables = append(variables, object{"name": d.by, "label": d.by, "type": "query", "datasource": source(),
			"query": fmt.Sprintf(`label_values(%s{job=~"$job"}, %s)`, d.from, d.by), "refresh": 2, "multi": true, "includeAll": true,
			"current": object{"text": "All", "value": "$__all"}})
	}
	const width, height = 12, 8
	var panels []object
	x, y := 0, 0
	for i, p := range d.panels {
		w := width
		if p.wide {
			w = 2 * width
		}
		if x+w > 2*width {
			x, y = 0, y+height
		}
		panels = append(panels, p.object(i+1, object{"x": x, "y": y, "w": w, "h": height}))
		x += w
	}
	b, err := json.MarshalIndent(object{
		"uid": "rotunda-" + d.file[:len(d.file)-len(".json")], "title": "Rotunda / " + d.title, "description": d.about, "tags": []string{"rotunda"},
		"schemaVersion": 39, "editable": false, "timezone": "utc", "refresh": "30s", "time": object{"from": "now-3h", "to": "now"},
		"graphTooltip": 1, "templating": object{"list": variables}, "panels": panels,
	}, "", "  ")
	return append(b, '\n'), err
}

func source() object { return object{"type": "prometheus", "uid": "${source}"} }

func (p panel) object(id int, place object) object {
	var targets []object
	for i, s := range p.series {
		targets = append(targets, object{"refId": string(rune('A' + i)), "datasource": source(), "expr": s.expr, "legendFormat": s.name})
	}
	return object{
		"id": id, "type": "timeseries", "title": p.title, "description": p.about, "datasource": source(), "gridPos": place, "targets": targets,
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []any{}},
		"options":     object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi"}},
	}
}
