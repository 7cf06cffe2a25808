package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Limits bound what one caller may take. An address is an IPv4 address or an IPv6 network of 64 bits, which is what one
// person has. The zero value of each field means its default; there is no way to switch a limit off, only to set it high.
type Limits struct {
	Guests       Rate // new guests, per address; default 5/s, burst 200
	Reads        Rate // GET and HEAD, per address; default 200/s, burst 1000
	Commands     Rate // everything else, per address and before the token is looked at; default 100/s, burst 500
	UserCommands Rate // everything else, per user; default 20/s, burst 100
	Rooms        Rate // new rooms, per user; default 1/s, burst 50
	Pictures     Rate // uploads, per user, or per address for guests to be; default 0.2/s, burst 5: each costs 0.1 s of a core
	Reports      Rate // per user; default 0.05/s, burst 10
	Reactions    Rate // per user; default 4/s, burst 12
	Rosters      Rate // pages of a room's people, per user; default 5/s, burst 30
	Rewinds      Rate // of the last minute, per user; default 0.5/s, burst 10
	Sessions     Rate // media sessions opened, changed and ended, per address and before the token is looked at; default 500/s, burst 5000
	SignIns      Rate // sign-ins begun, per address; default 1/s, burst 50
	Streams      int  // open event streams per address; default 256
	StreamsTotal int  // open event streams of the node; default 16384
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		rate  *Rate
		usual Rate
	}{
		{&l.Guests, Rate{5, 200}}, {&l.Reads, Rate{200, 1000}}, {&l.Commands, Rate{100, 500}}, {&l.UserCommands, Rate{20, 100}}, {&l.Rooms, Rate{1, 50}},
		{&l.Pictures, Rate{0.2, 5}}, {&l.Reports, Rate{0.05, 10}}, {&l.Reactions, Rate{4, 12}}, {&l.Rosters, Rate{5, 30}}, {&l.SignIns, Rate{1, 50}}, {&l.Rewinds, Rate{0.5, 10}},
		{&l.Sessions, Rate{500, 5000}},
	} {
		if *d.rate == (Rate{}) {
			*d.rate = d.usual
		}
	}
	if l.Streams == 0 {
		l.Streams = 256
	}
	if l.StreamsTotal == 0 {
		l.StreamsTotal = 16384
	}
	return l
}

// validate reports every problem at once.
func (l Limits) validate() error {
	var errs []error
	for name, r := range map[string]Rate{
		"Guests": l.Guests, "Reads": l.Reads, "Commands": l.Commands, "UserCommands": l.UserCommands, "Rooms": l.Rooms,
		"Pictures": l.Pictures, "Reports": l.Reports, "Reactions": l.Reactions, "Rosters": l.Rosters, "SignIns": l.SignIns, "Rewinds": l.Rewinds, "Sessions": l.Sessions,
	} {
		if !(r.PerSecond > 0) || r.Burst < 1 {
			errs = append(errs, fmt.Errorf("limits: %s: both its figures must be above 0", name))
		}
	}
	if l.Streams < 1 || l.StreamsTotal < 1 {
		errs = append(errs, errors.New("limits: streams must be above 0"))
	}
	return errors.Join(errs...)
}

// limiters are the buckets that the limits ask for.
type limiters struct {
	guests, reads, commands, userCommands, rooms, pictures, reports, reactions, rosters, signIns, rewinds, sessions *buckets

	told, toldInAll *buckets // lines of the log about refusals, per address and together
}

func newLimiters(l Limits) limiters {
	b := func(r Rate) *buckets { return newBuckets(r, bucketsMax) }
	return limiters{
		guests: b(l.Guests), reads: b(l.Reads), commands: b(l.Commands), userCommands: b(l.UserCommands), rooms: b(l.Rooms),
		pictures: b(l.Pictures), reports: b(l.Reports), reactions: b(l.Reactions), rosters: b(l.Rosters), signIns: b(l.SignIns), rewinds: b(l.Rewinds), sessions: b(l.Sessions),
		told: b(Rate{0.1, 5}), toldInAll: b(Rate{2, 100}),
	}
}

// SetLimits replaces the limits. Who has done more than the new ones allow, or has a stream too many, keeps what they have. It may be called
// concurrently.
func (a *API) SetLimits(l Limits) error {
	l = l.withDefaults()
	if err := l.validate(); err != nil {
		return err
	}
	b := &a.limits
	for _, s := range []struct {
		of   *buckets
		rate Rate
	}{
		{b.guests, l.Guests}, {b.reads, l.Reads}, {b.commands, l.Commands}, {b.userCommands, l.UserCommands}, {b.rooms, l.Rooms}, {b.pictures, l.Pictures},
		{b.reports, l.Reports}, {b.reactions, l.Reactions}, {b.rosters, l.Rosters}, {b.signIns, l.SignIns}, {b.rewinds, l.Rewinds}, {b.sessions, l.Sessions},
	} {
		s.of.setRate(s.rate)
	}
	a.seats.allow(l.Streams, l.StreamsTotal)
	return nil
}

// allow takes one from a bucket; the error says when to try again.
func allow(b *buckets, now time.Time, name string) error {
	if wait := b.take(now, name); wait > 0 {
		return &waitError{errTooMany, wait}
	}
	return nil
}

// address is whom the limits per address count a request for.
func (a *API) address(r *http.Request) string {
	return addressName(a.cfg.Address(r))
}

type addressKey struct{}

// addressOf is the address of a request that passed the gate.
func addressOf(ctx context.Context) string {
	s, _ := ctx.Value(addressKey{}).(string)
	return s
}

func addressName(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64) // an IPv6 address has 128 bits
		return p.String()
	}
	return ip.String()
}

// remoteAddress is the other end of the connection.
func remoteAddress(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, _ := netip.ParseAddr(host) // what is no address (a unix socket's peer) counts as one: the zero value
	return ip
}
