package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
)

// ports are those of one node of a mesh on this machine.
type ports struct {
	HTTP    int `json:"-"`
	Admin   int `json:"-"`
	Gossip  int `json:"-"` // UDP and TCP
	Media   int `json:"-"` // UDP
	Cascade int `json:"-"` // UDP
	// The control log's, as advertised: its members know each other by them from one run to the next.
	Peer   int `json:"peer"`
	Client int `json:"client"`
	// Where a delay stands in front of the log's ports, the node itself listens here; else as advertised.
	PeerBehind   int `json:"-"`
	ClientBehind int `json:"-"`
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

// Ports that are picked freely are below those that systems give to outgoing connections (Linux: from 32768, others from
// 49152), so that none of these takes one between its being picked and its being used.
const (
	freePortMin   = 20000
	freePortMax   = 31999
	freePortTries = 200
)

// find tries listen with want, or with free ports where want is 0.
func find(want int, listen func(port int) (got int, err error)) (port int, err error) {
	if want != 0 {
		return listen(want)
	}
	for range freePortTries {
		if port, err = listen(freePortMin + rand.IntN(freePortMax-freePortMin+1)); err == nil {
			return port, nil
		}
	}
	return listen(0)
}

// tcp returns want, or any free port where want is 0.
func (p *portPicker) tcp(host string, want int) (int, error) {
	return find(want, func(port int) (int, error) { return p.listenTCP(host, port) })
}

// udp returns want, or any free port where want is 0.
func (p *portPicker) udp(host string, want int) (int, error) {
	return find(want, func(port int) (int, error) { return p.listenUDP(host, port) })
}

// both returns a port that is free for TCP and UDP: want, or any where want is 0.
func (p *portPicker) both(host string, want int) (port int, err error) {
	return find(want, func(port int) (int, error) {
		got, err := p.listenTCP(host, port)
		if err != nil {
			return 0, err
		}
		return p.listenUDP(host, got)
	})
}

func (p *portPicker) listenTCP(host string, port int) (int, error) {
	l, err := net.Listen("tcp", address(host, port))
	if err != nil {
		return 0, err
	}
	p.held = append(p.held, l)
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (p *portPicker) listenUDP(host string, port int) (int, error) {
	c, err := net.ListenPacket("udp", address(host, port))
	if err != nil {
		return 0, err
	}
	p.held = append(p.held, c)
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// pickPorts finds the ports of n nodes: of before those that are remembered, else free ones. The pages are on firstHTTP and
// the ports that follow it, or anywhere where firstHTTP is 0.
func pickPorts(n int, host string, firstHTTP int, before []ports) ([]ports, error) {
	var picker portPicker
	defer picker.release()
	all := make([]ports, n)
	for i := range min(n, len(before)) {
		all[i].Peer, all[i].Client = before[i].Peer, before[i].Client
	}
	for i := range all { // what was asked for comes first, so that a free port that is picked is none of those
		p := &all[i]
		if firstHTTP != 0 {
			p.HTTP = firstHTTP + i
		}
		if err := p.pickAsked(&picker, host); err != nil {
			return nil, err
		}
	}
	for i := range all {
		if i == 0 && firstHTTP != 0 { // `rotunda members` looks there first; whoever says "any port" means it
			all[i].Admin, _ = picker.tcp(loopback, adminDefaultPort) // 0 where it is taken: then any
		}
		if err := all[i].pickFree(&picker, host); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// adminDefaultPort is the port of adminDefault.
const adminDefaultPort = 9090

// pickAsked takes the ports that are given.
func (p *ports) pickAsked(picker *portPicker, host string) (err error) {
	if p.HTTP, err = picker.tcp(host, p.HTTP); err != nil {
		return taken("a node's page", err, "give another --http")
	}
	for _, port := range []*int{&p.Peer, &p.Client} {
		if *port, err = picker.tcp(loopback, *port); err != nil {
			return taken("the control log", err, "the data folder remembers this port")
		}
	}
	return nil
}

// pickFree finds the others.
func (p *ports) pickFree(picker *portPicker, host string) (err error) {
	for _, free := range []struct {
		port *int
		host string
		find func(string, int) (int, error)
	}{
		{&p.Gossip, loopback, picker.both}, {&p.Media, host, picker.both}, {&p.Cascade, loopback, picker.udp},
		{&p.Admin, loopback, picker.tcp}, {&p.PeerBehind, loopback, picker.tcp}, {&p.ClientBehind, loopback, picker.tcp},
	} {
		if *free.port != 0 {
			continue
		}
		if *free.port, err = free.find(free.host, 0); err != nil {
			return fmt.Errorf("a free port: %w", err)
		}
	}
	return nil
}

// taken says in plain words that an address cannot be had.
func taken(what string, err error, advice string) error {
	var where *net.OpError
	if errors.As(err, &where) && where.Addr != nil {
		return fmt.Errorf("%s wants %s, which is in use: is another `rotunda up` running? (%s)", what, where.Addr, advice)
	}
	return fmt.Errorf("%s: %w (%s)", what, err, advice)
}
