package main

import (
	"net/url"
	"slices"
)

// route is the nodes that serve a room, the one in use first. The zero value knows none. It decides as the web client's does:
// learnt while things are well, because a dead node cannot be asked, and never back by itself.
type route struct{ bases []string }

// base is the node to use now.
func (r *route) base() string {
	if len(r.bases) == 0 {
		return ""
	}
	return r.bases[0]
}

// learn takes the nodes that a node named, best guess first. The one in use stays so.
func (r *route) learn(bases []string) { r.bases = origins(append([]string{r.base()}, bases...)) }

// move goes to the first of the nodes that a node which is being emptied has named, and reports whether it did: not when it is at
// one of them already. The present node stays the last way out.
func (r *route) move(bases []string) bool {
	named := origins(bases)
	if len(named) == 0 || slices.Contains(named, r.base()) {
		return false
	}
	r.bases = origins(append(named, r.base()))
	return true
}

// failed goes on to the next node, if base is the one in use and there is another.
func (r *route) failed(base string) {
	if base == r.base() && len(r.bases) > 1 {
		r.bases = append(slices.Clone(r.bases[1:]), base)
	}
}

// origins are the scheme and host of each http(s) URL, once each.
func origins(urls []string) []string {
	var all []string
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			continue
		}
		if base := u.Scheme + "://" + u.Host; !slices.Contains(all, base) {
			all = append(all, base)
		}
	}
	return all
}

// originOf is the scheme and host of a URL, "" where it has none.
func originOf(s string) string {
	if all := origins([]string{s}); len(all) > 0 {
		return all[0]
	}
	return ""
}
