package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// axeRun checks the page against WCAG 2.2 AA and the field's good practice; it answers what is wrong, and where.
const axeRun = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r =>
	r.violations.map(v => v.id + ": " + v.help + "\n" + v.nodes.slice(0, 4).map(n => "    " + n.html.slice(0, 200) + "\n      " + n.failureSummary.replaceAll("\n", " ")).join("\n")).join("\n"))`

// accessible fails the test where axe finds something on the page as it is now.
func (p *page) accessible(screen string) {
	p.t.Helper()
	if there, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`"axe" in window`)); err != nil || !there {
		code, err := os.ReadFile(filepath.Join(root(p.t), "node", "web", "node_modules", "axe-core", "axe.min.js"))
		if err != nil {
			p.t.Fatalf("axe-core is not there: run `make web` (%v)", err)
		}
		if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](string(code)+";true")); err != nil {
			p.t.Fatalf("%s: %s: load axe: %v", p.who, screen, err)
		}
	}
	found, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](axeRun, chromedp.EvalAwaitPromise))
	if err != nil || found != "" {
		p.t.Errorf("%s: %s: not accessible (%v):\n%s", p.who, screen, err, found)
	}
}

// look checks a screen as it is now, on a light phone and on a dark desktop: nothing stands out of a small phone, axe finds
// nothing, and pictures are kept.
func (p *page) look(name string) {
	p.t.Helper()
	p.fits(name)
	for _, as := range []struct {
		size   size
		scheme string
	}{{phone, "light"}, {desktop, "dark"}} {
		p.show(as.size, as.scheme)
		p.picture(name + "-" + as.size.name + "-" + as.scheme)
		p.accessible(name + ", " + as.size.name + ", " + as.scheme)
	}
	p.show(phone, "light")
}

// key types one key, as the keyboard does: down and up.
func (p *page) key(keys string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.KeyEvent(keys)); err != nil {
		p.t.Fatalf("%s: key %q: %v", p.who, keys, err)
	}
}

// tabTo moves the focus by the Tab key alone until it is on the control of that name, and checks that it can be seen there.
func (p *page) tabTo(name string) {
	p.t.Helper()
	const focused = `(e => e && e !== document.body ? (e.getAttribute("aria-label") || (e.labels?.[0] ?? e).innerText || "").trim() : "")(document.activeElement)`
	const seen = `(e => { const r = e.getBoundingClientRect(), s = getComputedStyle(e), at = document.elementFromPoint(r.left + r.width / 2, r.top + Math.min(r.height / 2, 20));
		return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && (e.contains(at) || at?.contains(e)) })(document.activeElement)`
	for range 60 {
		p.key(kb.Tab)
		label, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](focused))
		if err != nil {
			p.t.Fatalf("%s: look for %q: %v", p.who, name, err)
		}
		if !strings.Contains(label, name) {
			continue
		}
		if ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](seen)); err != nil || !ok {
			p.t.Errorf("%s: the focus on %q cannot be seen (%v)", p.who, name, err)
		}
		return
	}
	p.t.Fatalf("%s: the Tab key does not lead to %q; the page says:\n%s", p.who, name, p.textNow())
}

// holdKey holds the space bar down, or lets it go.
func (p *page) holdKey(down bool) {
	p.t.Helper()
	kind := input.DispatchKeyEventTypeKeyUp
	if down {
		kind = input.DispatchKeyEventTypeKeyDown
	}
	press := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Call(ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: " ", Code: "Space", WindowsVirtualKeyCode: 32})
		return err
	})
	if err := chromedp.Do(p.ctx, press); err != nil {
		p.t.Fatalf("%s: space bar: %v", p.who, err)
	}
}

// TestKeyboardOnly: join, ask, speak, push to talk and leave without a mouse, each focus seen, and what happens is said by the one
// polite live region.
func TestKeyboardOnly(t *testing.T) {
	mesh := startMesh(t)
	ada := openBrowser(t, "Ada", adasVoice.record(t))
	bob := openBrowser(t, "Bob", bobsVoice.record(t))
	ada.open(mesh.urls[0] + "/?raw")
	ada.press("Start a room")
	ada.fill("What is it about?", "Without a mouse")
	ada.fill("Your name", "Ada")
	ada.press("Open the room")
	ada.until("is in her room", phase("live"), patience)

	bob.open(mesh.urls[1] + strings.TrimPrefix(ada.location(), mesh.urls[0]) + "?raw")
	bob.sees("Hosted by Ada")
	bob.tabTo("Your name")
	bob.key("Bob")
	bob.key(kb.Enter)
	bob.until("listens", phase("live"), patience)
	bob.said1("You are listening.")
	bob.tabTo("Ask to speak")
	bob.key(kb.Enter)
	bob.sees("You are next")
	ada.tabTo("Let Bob speak")
	ada.key(kb.Enter)
	bob.said1("You are on stage.")
	bob.tabTo("Turn on microphone")
	bob.key(" ")
	bob.sees("ou are muted")
	bob.key("m")
	bob.sees("You are heard")
	ada.hears(bobsVoice, true)
	bob.key("m")
	ada.hearsNothing()

	bob.tabTo("Microphone settings")
	bob.key(kb.Enter)
	bob.tabTo("Push to talk")
	bob.key(" ")
	bob.key(kb.Escape)
	bob.sees("Hold to talk")
	if _, err := chromedp.Run(bob.ctx, chromedp.Evaluate[bool](`document.activeElement.blur(), true`)); err != nil {
		t.Fatal(err)
	}
	bob.holdKey(true)
	ada.hears(bobsVoice, true)
	bob.holdKey(false)
	ada.hearsNothing()

	bob.tabTo("Step down")
	bob.key(kb.Enter)
	bob.sees("Ask to speak")
	bob.tabTo("Leave")
	bob.key(kb.Enter)
	bob.sees("Start listening")
	bob.said1("You have left the room.")
}

// said1 waits until the live region says the words: there is one, and it waits for the reader to finish.
func (p *page) said1(words string) {
	p.t.Helper()
	p.until(fmt.Sprintf("is told %q", words),
		fmt.Sprintf(`(r => r.length === 1 && r[0].getAttribute("aria-live") === "polite" && r[0].textContent.includes(%q))(document.querySelectorAll("#app > [role=status]"))`, words), patience)
}
