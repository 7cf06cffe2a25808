package cascade_test

import (
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"

	"rotunda"
	"rotunda/cascade/nodecert/certtest"
)

// follow has a node show a certificate of ca and believe roots.
func (w *world) follow(id rotunda.NodeID, ca *certtest.CA, roots *x509.CertPool) {
	w.t.Helper()
	if err := w.nodes[id].SetIdentity(ca.Node(rotunda.Region(id[:2]), id), roots); err != nil {
		w.t.Fatal(err)
	}
}

// An authority is replaced while a stream goes from us-1 to eu-1, and from eu-1 to us-1: links from its time are replaced at the reload that drops
// it, by whichever end reads it first, and not a frame is missing. A node that has a certificate of the old one only takes nothing from
// then on and gives nothing, link or not.
func TestLinksOfAnOldAuthority(t *testing.T) {
	for _, first := range []rotunda.NodeID{"us-1", "eu-1"} { // of the end that dialled the link, and the other
		t.Run(string(first)+" first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.add("us", 1)
				w.add("eu", 1)
				w.add("ap", 1) // is not followed up
				defer w.close()
				w.settle(10 * time.Second)
				sp := w.speak("us-1", program)
				h, left := w.listen("eu-1", program, "us-1"), w.listen("ap-1", program, "us-1")
				time.Sleep(20 * time.Second)
				is, order := certtest.NewCA(), []rotunda.NodeID{"us-1", "eu-1"}
				if first != order[0] {
					order[0], order[1] = order[1], order[0]
				}
				for _, id := range order {
					w.follow(id, w.ca, w.ca.RootsWith(is))
				}
				w.follow("ap-1", w.ca, w.ca.RootsWith(is))
				for _, id := range order {
					w.follow(id, is, w.ca.RootsWith(is))
				}
				time.Sleep(5 * time.Second)
				h.reset()
				from := rotunda.Seq(sp.seq.Load())
				if got := len(left.now().count); got < 900 {
					t.Fatalf("ap-1 took %d frames while it was a member", got)
				}
				for _, id := range order {
					w.follow(id, is, is.Roots())
					time.Sleep(5 * time.Second)
				}
				left.reset()
				time.Sleep(15 * time.Second)
				to := rotunda.Seq(sp.end())
				time.Sleep(time.Second)
				got := h.now()
				for seq := from; seq < to; seq++ {
					if got.count[seq] != 1 {
						t.Errorf("eu-1 took frame %d (of %d to %d) %d times", seq, from, to, got.count[seq])
					}
				}
				t.Logf("longest pause %v", got.longest)
				if got.longest > 2*far+2*rotunda.FrameDuration { // a round trip for the subscription
					t.Errorf("eu-1 had a pause of %v", got.longest)
				}
				if got := left.now(); len(got.count) > 0 {
					t.Errorf("ap-1 has no certificate that is believed, and took %d frames", len(got.count))
				}
				if got := w.nodes["us-1"].Serving(); got > 1 {
					t.Errorf("us-1 serves %d streams after its listener's end, want that of eu-1", got)
				}
			})
		})
	}
}
