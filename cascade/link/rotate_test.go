package link_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"rotunda/cascade/nodecert/certtest"
)

// A link goes on while its ends go over to another authority, the next one begins with the new certificates, and who has an old
// one gets none any more.
func TestAnotherAuthority(t *testing.T) {
	was, is := certtest.NewCA(), certtest.NewCA()
	a, b, c := newNode(t, was, "a"), newNode(t, was, "b"), newNode(t, was, "c")
	up := func() (down func()) {
		t.Helper()
		one, other := pair(t, a, b)
		if one.Peer != b.id || other.Peer != a.id {
			t.Errorf("the link is between %v and %v", one.Peer, other.Peer)
		}
		stopOne, _ := run(one, newEar())
		stopOther, done := run(other, newEar())
		return func() {
			select {
			case err := <-done:
				t.Errorf("a link ended: %v", err)
			default:
			}
			_, _ = stopOne(), stopOther()
		}
	}
	downFirst := up()
	defer downFirst()
	for _, roots := range []*x509.CertPool{was.RootsWith(is), is.Roots()} {
		for _, n := range []*node{a, b} {
			certificate := is.Node(n.id.Region, n.id.ID)
			if err := n.SetIdentity(certificate, roots); err != nil {
				t.Fatal(err)
			}
		}
	}
	downSecond := up()
	defer downSecond()
	if _, err := c.Dial(t.Context(), b.address, b.id); err == nil {
		t.Error("a node with an old certificate gets a link")
	}
	for name, bad := range map[string]struct {
		certificate tls.Certificate
		roots       *x509.CertPool
	}{
		"a certificate of another authority": {was.Node(a.id.Region, a.id.ID), is.Roots()},
		"another node's certificate":         {is.Node("eu", "other"), is.Roots()},
	} {
		if err := a.SetIdentity(bad.certificate, bad.roots); err == nil {
			t.Errorf("%s is taken over", name)
		}
	}
	downThird := up() // a mistake has changed nothing
	defer downThird()
}
