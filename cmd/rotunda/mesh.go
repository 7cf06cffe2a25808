package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"rotunda"
	"rotunda/node/config"
	"rotunda/node/identity"
)

// regionsMax is how many nodes `up` starts at most: each is a process.
const regionsMax = 24

// localMesh is a mesh on this machine: what `up` makes before it starts anything.
type localMesh struct {
	folder  string
	host    string // of the web pages and media
	wan     bool
	text    bool // nodes log for people: their lines end up on a terminal
	regions []rotunda.Region
	ids     []rotunda.NodeID
	ports   []ports
}

// meshFile is what a data folder remembers of its mesh: the control log's members keep each other's addresses for ever.
type meshFile struct {
	Regions []rotunda.Region `json:"regions"`
	WAN     bool             `json:"wan"`
	Ports   []ports          `json:"ports"`
}

const meshFileName = "up.json"

// parseRegions checks the regions that were asked for. With distances wanted, each must be one whose distances are known.
func parseRegions(names []string, wan bool) ([]rotunda.Region, error) {
	var regions []rotunda.Region
	for _, name := range names {
		r := rotunda.Region(name)
		if err := r.Valid(); err != nil {
			return nil, usagef("--regions: %v", err)
		}
		if wan && !slices.Contains(wanRegions, r) {
			return nil, usagef("--wan knows no distances of %q; it knows %v", name, wanRegions)
		}
		regions = append(regions, r)
	}
	if len(regions) == 0 || len(regions) > regionsMax {
		return nil, usagef("--regions: %d regions, want 1 to %d", len(regions), regionsMax)
	}
	return regions, nil
}

// nodeIDs names a node in each region: us-east-1, and us-east-2 where the region comes twice.
func nodeIDs(regions []rotunda.Region) []rotunda.NodeID {
	seen := map[rotunda.Region]int{}
	var ids []rotunda.NodeID
	for _, r := range regions {
		seen[r]++
		ids = append(ids, rotunda.NodeID(fmt.Sprintf("%s-%d", r, seen[r])))
	}
	return ids
}

// controlNodes is how many of n nodes keep the control log, the first ones: five outlive two of them and three outlive
// one. Two would outlive none, so with two regions the first keeps the log alone.
func controlNodes(n int) int {
	switch {
	case n >= 5:
		return 5
	case n >= 3:
		return 3
	}
	return 1
}

// newLocalMesh makes keys, certificates and configurations in folder, or takes those that are there from the last time.
func newLocalMesh(folder, http string, regions []rotunda.Region, wan, text bool) (*localMesh, error) {
	host, port, err := net.SplitHostPort(http)
	first, portErr := strconv.Atoi(port)
	if err != nil || portErr != nil || first < 0 || first != 0 && first+len(regions) > 65536 {
		return nil, usagef("--http %q is not an address like 127.0.0.1:8080 with room for %d ports", http, len(regions))
	}
	m := &localMesh{folder: folder, host: host, wan: wan, text: text, regions: regions, ids: nodeIDs(regions)}
	var before meshFile
	data, err := os.ReadFile(filepath.Join(folder, meshFileName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(data, &before); err != nil {
			return nil, fmt.Errorf("%s in %s: %w", meshFileName, folder, err)
		}
		if !slices.Equal(before.Regions, regions) {
			return nil, usagef("%s keeps a mesh of %v: start it with the same --regions, or give another --data", folder, before.Regions)
		}
	}
	if m.ports, err = pickPorts(len(regions), host, first, before.Ports); err != nil {
		return nil, err
	}
	if data, err = json.MarshalIndent(meshFile{regions, wan, m.ports}, "", "  "); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, meshFileName), append(data, '\n'), 0o600); err != nil {
		return nil, err
	}
	return m, m.makeFiles()
}

func (m *localMesh) in(names ...string) string {
	return filepath.Join(append([]string{m.folder}, names...)...)
}

// configFile is the configuration of node i.
func (m *localMesh) configFile(i int) string { return m.in(string(m.ids[i]), "node.yaml") }

func (m *localMesh) makeFiles() error {
	authority, err := identity.LoadAuthority(m.folder)
	if errors.Is(err, fs.ErrNotExist) {
		authority, err = identity.CreateAuthority(m.folder, "rotunda up", time.Now())
	}
	if err != nil {
		return err
	}
	if _, err := identity.CreateGossipKey(m.in("gossip.key")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := identity.CreateSigningKey(m.in("token.key"), m.in("token.pub")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for i, id := range m.ids {
		request := identity.NodeRequest{ID: id, Region: m.regions[i], Hosts: []string{loopback, "localhost"}}
		if _, err := authority.CreateNode(m.in(string(id)), request, time.Now()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A mesh of a version before this has certificates, and no keys of regions.
		if err := authority.CreateRegion(m.in(string(id)), id, m.regions[i], time.Now()); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		text, err := m.config(i).YAML()
		if err != nil {
			return err
		}
		if err := os.WriteFile(m.configFile(i), text, 0o600); err != nil { // made anew each time: the rest of the mesh may have changed
			return err
		}
	}
	return nil
}

// config is the configuration of node i.
func (m *localMesh) config(i int) config.Config {
	id, p := m.ids[i], m.ports[i]
	c := config.Config{
		ID: id, Region: m.regions[i], Data: "data",
		HTTP:    config.HTTP{Listen: address(m.host, p.HTTP), URL: m.url(i)},
		Media:   config.Media{Listen: address(m.host, p.Media)},
		Cascade: config.Cascade{Listen: address(loopback, p.Cascade)},
		Gossip:  config.Gossip{Listen: address(loopback, p.Gossip), KeyFile: "../gossip.key", Label: "rotunda-up"},
		Log:     config.Log{Control: m.control()},
		Admin:   config.Admin{Listen: address(loopback, p.Admin)},
		TLS:     config.TLS{CA: "../" + identity.AuthorityCert, Cert: string(id) + ".crt", Key: string(id) + ".key", Region: string(id) + identity.RegionSuffix},
		Tokens:  config.Tokens{SigningKey: "../token.key", Guests: true},
	}
	for j := range m.ids {
		if j != i {
			c.Gossip.Seeds = append(c.Gossip.Seeds, address(loopback, m.ports[j].Gossip))
		}
	}
	if i < len(c.Log.Control) {
		c.Log.ListenClient = address(loopback, p.Client)
		if m.delayed() {
			c.Log.ListenClient = address(loopback, p.ClientBehind)
		}
		if len(c.Log.Control) > 1 {
			c.Log.ListenPeer = address(loopback, p.Peer)
			if m.delayed() {
				c.Log.ListenPeer = address(loopback, p.PeerBehind)
			}
		}
	}
	if m.text {
		c.LogFormat = "text"
	}
	if m.wan {
		c.WAN = wanFrom(m.regions[i], m.regions)
	}
	return c
}

// control lists the nodes that keep the log for the others; none where there is only one node.
func (m *localMesh) control() []config.ControlNode {
	if len(m.ids) == 1 {
		return nil
	}
	var nodes []config.ControlNode
	for i := range controlNodes(len(m.ids)) {
		n := config.ControlNode{ID: m.ids[i], Client: address(loopback, m.ports[i].Client)}
		if controlNodes(len(m.ids)) > 1 {
			n.Peer = address(loopback, m.ports[i].Peer)
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// delayed reports whether the log's traffic passes through delays of ours.
func (m *localMesh) delayed() bool { return m.wan && len(m.ids) > 1 && processesAreKnown }

// url is where people open node i's page. An address that means "any" is reached as localhost from here.
func (m *localMesh) url(i int) string {
	host := m.host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + address(host, m.ports[i].HTTP)
}

func (m *localMesh) admin(i int) string { return "http://" + address(loopback, m.ports[i].Admin) }

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
