package api

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"testing"

	"rotunda"
	"rotunda/control"
	"rotunda/control/eventlog"
	"rotunda/control/fence"
)

// published is a ring of a node in a region, whose key is in the log.
func published(t *testing.T, log eventlog.Log, region rotunda.Region) *fence.Ring {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prove := func(proof []byte) (rotunda.Region, *ecdh.PublicKey, error) {
		return rotunda.Region(proof), key.PublicKey(), nil
	}
	ring, err := fence.New(fence.Config{Region: region, Keys: []*ecdh.PrivateKey{key}, Proof: []byte(region), Prove: prove, Log: log})
	if err == nil {
		err = ring.Publish(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestRegions(t *testing.T) {
	keys := new(eventlog.Memory)
	published(t, keys, "ap-south")
	published(t, keys, "mars")
	ring := published(t, keys, "us-east")
	world := members{
		member("busy", "ap-south", rotunda.Alive, 200, 0.9), member("idle", "ap-south", rotunda.Alive, 210, 0.1), member("gone", "mars", rotunda.Dead, 0, 0),
		member("self", "us-east", rotunda.Alive, 0, 0), member("draining", "us-east", rotunda.Draining, 0, 0), member("keyless", "eu-west", rotunda.Alive, 0, 0),
	}
	n := newNode(t, "self", new(eventlog.Memory), func(c *Config) {
		c.Control = control.New(control.Config{Log: new(eventlog.Memory), Node: "self", Region: "us-east", Fence: ring})
		c.Mesh, c.Self = world, rotunda.Member{ID: "self", Region: "us-east"}
	})
	got := n.want(200, "GET", "/v1/regions", "", "")
	want := `{"own":"us-east","regions":[{"region":"ap-south","nodes":2,"url":"https://idle.example"},{"region":"mars","nodes":0},{"region":"us-east","nodes":1,"url":"https://self.example"}]}`
	var a, b any
	if json.Unmarshal([]byte(got.raw), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("regions %s\nwant %s", got.raw, want)
	}
	keyless := newNode(t, "keyless", new(eventlog.Memory), nil)
	keyless.wantProblem(403, "fence-off", "GET", "/v1/regions", "")
}

// Who asks outside is told the regions, whether there is a node in them or not.
func TestOutsideTellsRegions(t *testing.T) {
	world := members{member("self", "us-east", rotunda.Alive, 0, 0), member("in", "eu-west", rotunda.Alive, 0, 0)}
	n := newNode(t, "self", new(eventlog.Memory), func(c *Config) { c.Mesh, c.Self = world, world[0] })
	for slug, f := range map[string]rotunda.Fence{"elsewhere": {"eu-west"}, "regions-away": {"ap-south", "mars"}} {
		w := httptest.NewRecorder()
		WriteProblem(w, httptest.NewRequest("GET", "/v1/rooms/in-x", nil), n.api.outside(f))
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Type != problemPrefix+slug || len(p.Regions) != len(f) || p.Regions[0] != f[0] || w.Code != 503 {
			t.Errorf("%v: %d %s", f, w.Code, w.Body)
		}
	}
}
