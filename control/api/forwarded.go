package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Behind returns whom the limits per address count a request for behind proxies at trusted addresses. Each of them adds the address that it was asked
// from at the right end of X-Forwarded-For or Forwarded (RFC 7239): from there leftwards the first that is not trusted is who asked. All
// before it is what they say themselves, and is not looked at.
func Behind(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	trusts := func(a netip.Addr) bool {
		a = a.Unmap().WithZone("")
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return func(r *http.Request) netip.Addr {
		peer := remoteAddress(r)
		if !trusts(peer) {
			return peer
		}
		x, xSays := r.Header["X-Forwarded-For"]
		f, fSays := r.Header["Forwarded"]
		switch {
		case xSays && fSays: // a proxy writes one of them, and hands on what the other says: that may be anything
			if a := asked(peer, forwardedFor(x), trusts); a == asked(peer, forwarded(f), trusts) {
				return a
			}
			return peer
		case xSays:
			return asked(peer, forwardedFor(x), trusts)
		case fSays:
			return asked(peer, forwarded(f), trusts)
		}
		return peer
	}
}

// asked is the first of hops, from the right, that is not trusted. Where one is no address, it is the one that said so.
func asked(peer netip.Addr, hops []string, trusts func(netip.Addr) bool) netip.Addr {
	at := peer
	for _, hop := range slices.Backward(hops) {
		a, ok := hopAddress(hop)
		if !ok {
			return at
		}
		if at = a; !trusts(a) {
			return a
		}
	}
	return at
}

// forwardedFor are the hops of X-Forwarded-For, whose lines are one list.
func forwardedFor(lines []string) []string { return strings.Split(strings.Join(lines, ","), ",") }

// forwarded are the hops of Forwarded: the for parameter of each element, "" where it has none or is malformed.
func forwarded(lines []string) []string {
	elements, ok := split(strings.Join(lines, ","), ',')
	if !ok {
		return []string{""}
	}
	hops := make([]string, len(elements))
	for i, e := range elements {
		pairs, _ := split(e, ';')
		for _, p := range pairs {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.EqualFold(name, "for") {
				hops[i] = strings.Trim(value, `"`)
			}
		}
	}
	return hops
}

// split cuts s at each separator outside quotes. ok is false where a quote does not end: what is behind it cannot be told from it.
func split(s string, separator byte) (parts []string, ok bool) {
	begin, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	return append(parts, s[begin:]), !quoted
}

// hopAddress reads an address, with a port or without; an IPv6 one may stand in brackets.
func hopAddress(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr().Unmap().WithZone(""), err == nil
}
