package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var chartFolder = filepath.Join(repository, "deploy/helm/rotunda")

// settings are values of the chart as an operator would write them.
type settings struct{ name, values string }

var installs = []settings{
	{"least", `{region: eu-central, keysSecret: keys}`},
	{"control", `
region: eu-central
keysSecret: keys
regionKeys: true
control: true
replicas: 3
url: https://$(POD_NAME).example.org
drainSeconds: 600
config:
  gossip: {label: example, seeds: ["203.0.113.10:7946"]}
  log: {control: [{id: fra-0, peer: "203.0.113.10:2380", client: "203.0.113.10:2379"}]}
  tokens: {guests: true}`},
	{"https", `
region: eu-central
keysSecret: keys
webSecret: web
host: 203.0.113.10
url: https://fra.example.org
hostPorts: {http: 443}
config: {http: {listen: ":8443"}, media: {listen: ":3478"}, log_level: debug}
service: {type: LoadBalancer, annotations: {a: b}}
nodeSelector: {rotunda: edge}
tolerations: [{key: edge, operator: Exists}]
imagePullSecrets: [{name: registry}]
priorityClassName: high`},
	{"watched", `
region: eu-central
keysSecret: keys
monitoring: {serviceMonitor: true, rules: true, dashboards: true, labels: {release: prometheus}}
networkPolicy: {scrapers: [{podSelector: {matchLabels: {app: prometheus}}}]}
podAnnotations: {a: b}
persistence: {size: 1Gi, storageClass: fast}`},
}

// strict decodes what Kubernetes and prometheus-operator would take, and refuses what they do not know.
func strict(t *testing.T) runtime.Decoder {
	t.Helper()
	s := runtime.NewScheme()
	if err := errorsOf(scheme.AddToScheme(s), monitoring.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
}

func valuesOf(t *testing.T, text string) map[string]any {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// render is what `helm template fra .` makes of the chart.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.LoadDir(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, valuesOf(t, values), chartutil.ReleaseOptions{Name: "fra", Namespace: "rooms", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// objects are the rendered objects by kind and name.
func objects(t *testing.T, values string) map[string]runtime.Object {
	t.Helper()
	files, err := render(t, values)
	if err != nil {
		t.Fatal(err)
	}
	decoder := strict(t)
	found := map[string]runtime.Object{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq("\n"+files[file], "\n---") {
			if len(bytes.TrimSpace(withoutComments(document))) == 0 {
				continue
			}
			object, kind, err := decoder.Decode([]byte(document), nil, nil)
			if err != nil {
				t.Errorf("%s: %v\n%s", file, err, document)
				continue
			}
			name := kind.Kind + "/" + object.(interface{ GetName() string }).GetName()
			if found[name] != nil {
				t.Errorf("two of %s", name)
			}
			found[name] = object
		}
	}
	return found
}

func withoutComments(document string) (rest []byte) {
	for line := range strings.Lines(document) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			rest = append(rest, line...)
		}
	}
	return rest
}

// The chart passes helm's linter, warnings included, and what it renders is what the types of Kubernetes and of the operator know.
func TestChartLints(t *testing.T) {
	for _, s := range installs {
		for _, m := range lint.All(chartFolder, valuesOf(t, s.values), "rooms", true).Messages {
			if m.Severity != support.InfoSev { // an icon is recommended
				t.Errorf("%s: %v", s.name, m)
			}
		}
		want := []string{"ConfigMap/fra", "NetworkPolicy/fra", "PodDisruptionBudget/fra", "Service/fra", "Service/fra-nodes", "StatefulSet/fra"}
		if s.name == "watched" {
			want = append(want, "ConfigMap/fra-dashboards", "PrometheusRule/fra", "ServiceMonitor/fra")
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(objects(t, s.values))); !slices.Equal(got, want) {
			t.Errorf("%s renders %v, want %v", s.name, got, want)
		}
	}
}

// What an operator gets wrong is refused before anything is installed.
func TestChartRefuses(t *testing.T) {
	for _, tc := range []settings{
		{"region", `{keysSecret: keys}`},
		{"keysSecret", `{region: eu-central}`},
		{"replcas", `{region: eu-central, keysSecret: keys, replcas: 3}`},
		{"host is the address of one machine", `{region: eu-central, keysSecret: keys, replicas: 2, host: 203.0.113.10}`},
		{"drainSeconds", `{region: eu-central, keysSecret: keys, drainSeconds: 0}`},
	} {
		if _, err := render(t, tc.values); err == nil || !strings.Contains(err.Error(), tc.name) {
			t.Errorf("%s: %v", tc.values, err)
		}
	}
	// The decoder is as strict as is said above.
	files, err := render(t, installs[0].values)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(files["rotunda/templates/statefulset.yaml"], "replicas:", "replicaz:", 1)
	if _, _, err := strict(t).Decode([]byte(bad), nil, nil); err == nil || !strings.Contains(err.Error(), "replicaz") {
		t.Errorf("a mistake in a rendered object: %v", err)
	}
}

// pod is what a release's pods are.
func pod(t *testing.T, all map[string]runtime.Object) (core.PodSpec, core.Container) {
	t.Helper()
	set := all["StatefulSet/fra"].(*apps.StatefulSet)
	return set.Spec.Template.Spec, set.Spec.Template.Spec.Containers[0]
}

// environ is a container's environment in the first pod, on a machine at 203.0.113.20.
func environ(c core.Container) (environ []string, value func(string) string) {
	known := map[string]string{}
	for _, e := range c.Env {
		v := e.Value
		if e.ValueFrom != nil {
			v = map[string]string{"metadata.name": "fra-0", "status.hostIP": "203.0.113.20"}[e.ValueFrom.FieldRef.FieldPath]
		}
		for name, earlier := range known {
			v = strings.ReplaceAll(v, "$("+name+")", earlier)
		}
		known[e.Name] = v
		environ = append(environ, e.Name+"="+v)
	}
	return environ, func(name string) string { return known[name] }
}

// secrets are the keys and the page's certificate, as Kubernetes mounts them.
func secrets(t *testing.T) (keys, web string) {
	t.Helper()
	root, err := image()
	if err != nil {
		t.Fatal(err)
	}
	keys, web = t.TempDir(), t.TempDir()
	for _, args := range [][]string{
		{"certs", "init"}, {"certs", "node", "fra-0", "--region", "eu-central", "--host", "203.0.113.10"}, {"keygen", "gossip"}, {"keygen", "token"},
	} {
		runBinary(t, root, append(args, "--dir", keys)...)
	}
	for to, from := range map[string]string{"tls.crt": "fra-0.crt", "tls.key": "fra-0.key"} {
		if err := copyFile(filepath.Join(web, to), filepath.Join(keys, from), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ca.key", "token.pub"} { // are in no Secret
		if err := os.Remove(filepath.Join(keys, name)); err != nil {
			t.Fatal(err)
		}
	}
	return keys, web
}

// The image starts with what the chart hands it, files and environment, as the pod's user.
func TestChartNodesStart(t *testing.T) {
	keys, web := secrets(t)
	for _, s := range installs {
		all := objects(t, s.values)
		spec, c := pod(t, all)
		config := filepath.Join(t.TempDir(), "node.yaml")
		if err := os.WriteFile(config, []byte(all["ConfigMap/fra"].(*core.ConfigMap).Data["node.yaml"]), 0o644); err != nil {
			t.Fatal(err)
		}
		from := map[string]string{"config": filepath.Dir(config), "keys": keys, "web": web}
		mounts := map[string]string{}
		for _, m := range c.VolumeMounts {
			if from[m.Name] != "" {
				mounts[m.MountPath] = from[m.Name]
			}
		}
		for _, v := range spec.Volumes {
			if v.Secret != nil && *v.Secret.DefaultMode != 0o440 {
				t.Errorf("%s: the secret's files have mode %04o; the node wants secrets that others cannot read", s.name, *v.Secret.DefaultMode)
			}
		}
		if *spec.SecurityContext.RunAsUser != userID || *spec.SecurityContext.FSGroup != userID {
			t.Errorf("%s: it runs as %d, and the image's folders are of %d", s.name, *spec.SecurityContext.RunAsUser, userID)
		}
		variables, value := environ(c)
		said, err := inContainer(t.Context(), t, container(t, mounts), variables, append(slices.Clone(c.Args), "--check")...)
		if err != nil || !strings.HasPrefix(said, "good: node fra-0 in eu-central") {
			t.Errorf("%s: %v\n%s", s.name, err, said)
		}
		if url := strings.TrimSpace(said[strings.LastIndex(said, " ")+1:]); value("ROTUNDA_HTTP_URL") != "" && url != value("ROTUNDA_HTTP_URL") {
			t.Errorf("%s: page at %q", s.name, url)
		}
	}
}

// Ports: what the configuration listens on is what the pod opens, media, links and gossip under the same number outside; probes, policy and
// services name ports that there are.
func TestChartPorts(t *testing.T) {
	for _, s := range installs {
		all := objects(t, s.values)
		_, c := pod(t, all)
		names := map[string]core.ContainerPort{}
		for _, p := range c.Ports {
			names[p.Name] = p
			if p.Name != "http" && p.Name != "metrics" && p.HostPort != p.ContainerPort {
				t.Errorf("%s: %s is %d inside and %d outside, and a node says only one", s.name, p.Name, p.ContainerPort, p.HostPort)
			}
		}
		var config struct {
			HTTP, Media, Cascade, Gossip struct{ Listen string }
			Admin                        struct {
				Listen  string
				Metrics string `json:"metrics_listen"`
			}
			Log struct{ Control []any }
		}
		if err := yaml.Unmarshal([]byte(all["ConfigMap/fra"].(*core.ConfigMap).Data["node.yaml"]), &config); err != nil {
			t.Fatal(err)
		}
		for name, listen := range map[string]string{
			"http": or(config.HTTP.Listen, ":8080"), "media-udp": or(config.Media.Listen, ":8081"), "media-tcp": or(config.Media.Listen, ":8081"),
			"cascade": or(config.Cascade.Listen, ":7443"), "gossip-udp": or(config.Gossip.Listen, ":7946"), "gossip-tcp": or(config.Gossip.Listen, ":7946"),
			"metrics": config.Admin.Metrics,
		} {
			if got := fmt.Sprintf(":%d", names[name].ContainerPort); got != listen {
				t.Errorf("%s: the pod opens %s for %s, which listens on %s", s.name, got, name, listen)
			}
		}
		if _, open := names["log-peer"]; open != (len(config.Log.Control) > 0) {
			t.Errorf("%s: the log's ports: open %v", s.name, open)
		}
		used := []intstr.IntOrString{c.LivenessProbe.HTTPGet.Port, c.ReadinessProbe.HTTPGet.Port}
		for _, name := range []string{"Service/fra", "Service/fra-nodes"} {
			for _, p := range all[name].(*core.Service).Spec.Ports {
				used = append(used, p.TargetPort)
			}
		}
		inbound := map[string]int{} // port → rules that let somebody in
		for _, rule := range all["NetworkPolicy/fra"].(*networking.NetworkPolicy).Spec.Ingress {
			for _, p := range rule.Ports {
				used = append(used, *p.Port)
				inbound[p.Port.StrVal]++
				if p.Port.StrVal == "metrics" && len(rule.From) == 0 {
					t.Errorf("%s: everybody may scrape", s.name)
				}
			}
		}
		for _, p := range used {
			if _, ok := names[p.StrVal]; !ok {
				t.Errorf("%s: port %q is named, and the pod has none such", s.name, p.StrVal)
			}
		}
		for name := range names {
			if inbound[name] != 1 {
				t.Errorf("%s: %d rules of the policy are about %s", s.name, inbound[name], name)
			}
		}
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// A pod that ends drains for less time than Kubernetes gives it, is asked where the node answers, and is one of few that end at once.
func TestChartDrains(t *testing.T) {
	root, err := image()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range installs {
		all := objects(t, s.values)
		spec, c := pod(t, all)
		command := c.Lifecycle.PreStop.Exec.Command
		deadline, err := time.ParseDuration(command[len(command)-1])
		if err != nil || time.Duration(*spec.TerminationGracePeriodSeconds)*time.Second < deadline+20*time.Second {
			t.Errorf("%s: %d s to end, and %v of it to drain (%v)", s.name, *spec.TerminationGracePeriodSeconds, deadline, err)
		}
		if command[0] != "/usr/bin/rotunda" {
			t.Errorf("%s: before it stops: %v", s.name, command)
		}
		// The command is one that the binary understands: it looks for the node, and finds none here.
		if said := failBinary(t, root, append(command[1:], "--admin", "127.0.0.1:1")...); !strings.Contains(said, "no node answers") {
			t.Errorf("%s: %s", s.name, said)
		}
		if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
			t.Errorf("%s: a node that drains is not ready, and lives", s.name)
		}
		budget := all["PodDisruptionBudget/fra"].(*policy.PodDisruptionBudget)
		if budget.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("%s: %v may go at once", s.name, budget.Spec.MaxUnavailable)
		}
	}
}

// Prometheus finds the port of metrics of every pod; the rules and dashboards are those of deploy/.
func TestChartMonitoring(t *testing.T) {
	all := objects(t, installs[3].values)
	m := all["ServiceMonitor/fra"].(*monitoring.ServiceMonitor)
	service := all["Service/fra-nodes"].(*core.Service)
	for label, value := range m.Spec.Selector.MatchLabels {
		if service.Labels[label] != value {
			t.Errorf("it looks for %s=%s, and the service has %q", label, value, service.Labels[label])
		}
	}
	if m.Spec.Endpoints[0].Port != service.Spec.Ports[0].Name || m.Spec.Endpoints[0].Path != "/metrics" || !service.Spec.PublishNotReadyAddresses {
		t.Errorf("it scrapes %+v of %+v", m.Spec.Endpoints, service.Spec)
	}
	want, err := os.ReadFile(filepath.Join(repository, "deploy/prometheus/rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var rules monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(want, &rules); err != nil {
		t.Fatal(err)
	}
	got := all["PrometheusRule/fra"].(*monitoring.PrometheusRule)
	if len(got.Spec.Groups) != len(rules.Groups) || len(got.Spec.Groups[1].Rules) != len(rules.Groups[1].Rules) || got.Labels["release"] != "prometheus" {
		t.Errorf("%d groups of rules, want %d", len(got.Spec.Groups), len(rules.Groups))
	}
	pages := all["ConfigMap/fra-dashboards"].(*core.ConfigMap).Data
	size := 0
	for name, page := range pages {
		size += len(page)
		b, err := os.ReadFile(filepath.Join(repository, "deploy/grafana", name))
		if err != nil || strings.TrimSpace(string(b)) != strings.TrimSpace(page) {
			t.Errorf("%s is not that of deploy/grafana: %v", name, err)
		}
	}
	if len(pages) < 5 || size > 1<<20 {
		t.Errorf("%d dashboards, %d bytes; a ConfigMap takes a mebibyte", len(pages), size)
	}
}
