package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// composeFolder is where the compose file is.
var composeFolder = filepath.Join(repository, "deploy/compose")

// compose loads the compose file as `docker compose` does, its schema included.
func compose(t *testing.T) *types.Project {
	t.Helper()
	file := filepath.Join(composeFolder, "compose.yaml")
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: composeFolder, ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: types.Mapping{},
	}, func(o *loader.Options) { o.Profiles = []string{"setup"} })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var regions = []string{"us-east", "eu-west", "ap-south"}

// composeKeys runs keys.sh with the image's binary, and returns the folder of the keys.
func composeKeys(t *testing.T) string {
	t.Helper()
	root, err := image()
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	c := exec.Command(filepath.Join(composeFolder, "keys.sh"))
	c.Env = append(os.Environ(), "ROTUNDA="+filepath.Join(root, "usr/bin/rotunda"), "KEYS="+keys)
	if said, err := c.CombinedOutput(); err != nil {
		t.Fatalf("keys.sh: %v\n%s", err, said)
	}
	return keys
}

// mounted is what a service's volumes put into its container: those of the file system as they are, named ones from named.
func mounted(t *testing.T, s types.ServiceConfig, named map[string]string) map[string]string {
	t.Helper()
	mounts := map[string]string{}
	for _, v := range s.Volumes {
		from := v.Source
		if v.Type == types.VolumeTypeVolume {
			from = named[v.Source]
		}
		if from == "" {
			continue // a volume that begins empty
		}
		if _, err := os.Stat(from); err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		mounts[v.Target] = from
	}
	return mounts
}

// Every node of the compose file starts with what it is handed: keys.sh's keys, its own configuration, the image's command.
func TestComposeNodes(t *testing.T) {
	p := compose(t)
	stages := containerFile(t)
	command := commandOf(stages[len(stages)-1])
	keys := composeKeys(t)
	for _, region := range regions {
		s := p.Services[region]
		if s.Command != nil || s.Entrypoint != nil || s.User != "" || !s.ReadOnly {
			t.Fatalf("%s: it runs %v %v as %q", region, s.Entrypoint, s.Command, s.User)
		}
		root := container(t, mounted(t, s, map[string]string{"keys": keys}))
		said, err := inContainer(t.Context(), t, root, nil, append(slices.Clone(command), "--check")...)
		if err != nil || !strings.HasPrefix(said, "good: node "+region+" in "+region) {
			t.Errorf("%s: %v\n%s", region, err, said)
		}
	}
}

// The ports that browsers are told are those that compose publishes, and gossip finds the addresses that it gives.
func TestComposePorts(t *testing.T) {
	p := compose(t)
	for _, region := range regions {
		s := p.Services[region]
		b, err := os.ReadFile(filepath.Join(composeFolder, region, "node.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		config, address := string(b), s.Networks["mesh"].Ipv4Address
		if !strings.Contains(config, "\nhost: "+address+" ") || !strings.Contains(config, `"`+address+`:7946"`) {
			t.Errorf("%s is at %s, and its configuration says otherwise", region, address)
		}
		for _, port := range s.Ports {
			if port.Target != 8080 && (!strings.Contains(config, `listen: ":`+port.Published+`"`) || port.Published != strconv.Itoa(int(port.Target))) {
				t.Errorf("%s: browsers are told another media port than %s", region, port.Published)
			}
			if port.Target == 8080 && !strings.Contains(config, `url: "http://127.0.0.1:`+port.Published+`"`) {
				t.Errorf("%s: browsers are told another page than that of port %s", region, port.Published)
			}
		}
		if len(s.Ports) != 3 {
			t.Errorf("%s publishes %v: page, and media by UDP and TCP", region, s.Ports)
		}
	}
}

// Prometheus takes its configuration and the rules, and scrapes the nodes; Grafana has our dashboards and a source for them.
func TestComposeMonitoring(t *testing.T) {
	p := compose(t)
	root := t.TempDir()
	for target, from := range mounted(t, p.Services["prometheus"], nil) {
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := copyFile(filepath.Join(root, target), from, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(root, "etc/prometheus/prometheus.yml")
	said, err := exec.CommandContext(t.Context(), "promtool", "check", "config", file).CombinedOutput()
	if err != nil || !strings.Contains(string(said), "1 rule files found") {
		t.Errorf("promtool: %v\n%s", err, said)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range regions {
		if !strings.Contains(string(b), `"`+region+`:9091"`) {
			t.Errorf("nobody scrapes %s", region)
		}
	}
	mounts := mounted(t, p.Services["grafana"], nil)
	provider, err := os.ReadFile(mounts["/etc/grafana/provisioning/dashboards/rotunda.yaml"])
	if err != nil || !strings.Contains(string(provider), "path: /var/lib/grafana/dashboards") {
		t.Errorf("%s, %v", provider, err)
	}
	pages, err := filepath.Glob(filepath.Join(mounts["/var/lib/grafana/dashboards"], "*.json"))
	if err != nil || len(pages) < 5 {
		t.Errorf("Grafana finds %d dashboards, %v", len(pages), err)
	}
	source, err := os.ReadFile(mounts["/etc/grafana/provisioning/datasources/rotunda.yaml"])
	if err != nil || !strings.Contains(string(source), `url: "http://prometheus:9090"`) {
		t.Errorf("%s, %v", source, err)
	}
}

// A key that compose does not know is refused: the schema is looked at.
func TestComposeSchema(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(composeFolder, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(b), "restart: on-failure", "restrat: on-failure", 1)
	_, err = loader.LoadWithContext(context.WithoutCancel(t.Context()), types.ConfigDetails{
		WorkingDir: composeFolder, ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(bad)}}, Environment: types.Mapping{},
	})
	if err == nil || !strings.Contains(err.Error(), "restrat") {
		t.Errorf("a mistake in the compose file: %v", err)
	}
}
