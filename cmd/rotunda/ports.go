package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// ports are the loopback ports of one node of a mesh on this machine.
type ports struct {
	HTTP    int `json:"http"`
	Admin   int `json:"admin"`
	Gossip  int `json:"gossip"` // UDP and TCP
	Media   int `json:"media"`  // UDP
	Cascade int `json:"cascade"`
	Peer    int `json:"peer"`   // of the control log, for control nodes, as advertised
	Client  int `json:"client"` // of the control log, for the nodes without, as advertised
	// Where a delay stands in front of the log's ports, the node itself listens here; else as advertised.
	PeerBehind   int `json:"peer_behind"`
	ClientBehind int `json:"client_behind"`
}

// loopback is where everything of a mesh on this machine listens, the web pages and their media excepted.
const loopback = "127.0.0.1"

// portPicker finds free ports. It holds every port that it found until release, so that none is found twice.
type portPicker struct{ held []io.Closer }

func (p *portPicker) release() {
	for _, c := range p.held {
		c.Close()
	}
	p.held = nil
}

// tcp returns want, or any free port where want is 0.
func (p *portPicker) tcp(host string, want int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(want)))
	if err != nil {
		return 0, err
	}
	p.held = append(p.held, l)
	return l.Addr().(*net.TCPAddr).Port, nil
}

// udp returns want, or any free port where want is 0.
func (p *portPicker) udp(host string, want int) (int, error) {
	c, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(want)))
	if err != nil {
		return 0, err
	}
	p.held = append(p.held, c)
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// both returns a port that is free for TCP and UDP: want, or any where want is 0.
func (p *portPicker) both(host string, want int) (port int, err error) {
	for range 20 { // what is free for one is nearly always free for the other
		if port, err = p.tcp(host, want); err != nil {
			return 0, err
		}
		if port, err = p.udp(host, port); err == nil || want != 0 {
			return port, err
		}
	}
	return 0, err
}

// pick finds the ports of n nodes: those of before where there are any, else free ones. The pages are on firstHTTP and the
// ports that follow it, or anywhere where firstHTTP is 0.
func pickPorts(n int, host string, firstHTTP int, before []ports) ([]ports, error) {
	var picker portPicker
	defer picker.release()
	all := make([]ports, n)
	copy(all, before)
	for i := range all {
		p := &all[i]
		p.HTTP = 0
		if firstHTTP != 0 {
			p.HTTP = firstHTTP + i
		}
		if p.Admin == 0 && i == 0 { // `rotunda members` looks there first
			if port, err := picker.tcp(loopback, adminDefaultPort); err == nil {
				p.Admin = port
			}
		}
		if err := p.pick(&picker, host); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// adminDefaultPort is the port of adminDefault.
const adminDefaultPort = 9090

func (p *ports) pick(picker *portPicker, host string) error {
	var err error
	if p.HTTP, err = picker.tcp(host, p.HTTP); err != nil {
		return taken("the page of a node", err, "give another --http")
	}
	for _, want := range []struct {
		what string
		port *int
		host string
		find func(string, int) (int, error)
	}{
		{"admin", &p.Admin, loopback, picker.tcp},
		{"gossip", &p.Gossip, loopback, picker.both},
		{"media", &p.Media, host, picker.udp},
		{"cascade", &p.Cascade, loopback, picker.udp},
		{"log peers", &p.Peer, loopback, picker.tcp},
		{"log clients", &p.Client, loopback, picker.tcp},
		{"log peers", &p.PeerBehind, loopback, picker.tcp},
		{"log clients", &p.ClientBehind, loopback, picker.tcp},
	} {
		if want.what == "admin" && *want.port == adminDefaultPort && picker.holds(adminDefaultPort) {
			continue
		}
		if *want.port, err = want.find(want.host, *want.port); err != nil {
			return taken(want.what, err, "the data folder remembers this port; what else uses it?")
		}
	}
	return nil
}

// holds reports whether this picker itself has the TCP port.
func (p *portPicker) holds(port int) bool {
	for _, c := range p.held {
		if l, ok := c.(net.Listener); ok && l.Addr().(*net.TCPAddr).Port == port {
			return true
		}
	}
	return false
}

// taken says in plain words that an address cannot be had.
func taken(what string, err error, advice string) error {
	var where *net.OpError
	if errors.As(err, &where) && where.Addr != nil {
		return fmt.Errorf("%s wants %s, which is in use: is another `rotunda up` running? (%s)", what, where.Addr, advice)
	}
	return fmt.Errorf("%s: %w (%s)", what, err, advice)
}
