package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience is how long what must happen may take, on a busy machine: it is reached only where a test fails. Tests that promise a time
// say so themselves (trials).
const patience = time.Minute

// page is one person's browser: a process of its own, with a microphone that plays a file.
type page struct {
	t    *testing.T
	who  string
	ctx  context.Context
	said *lines // the console

	errors *lines // of the console: what the page asked for and did not get, and what it complained of
}

// noErrors checks that the page's console has had none.
func (p *page) noErrors() {
	p.t.Helper()
	if found := p.errors.String(); found != "" {
		p.t.Errorf("%s's console has errors:\n%s", p.who, found)
	}
}

// openBrowser starts a browser whose microphone plays the WAV file, with permission to use it.
func openBrowser(t *testing.T, who, microphone string) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browserPath(t)),
		chromedp.NoSandbox, // root has no other choice
		chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en"),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("use-file-for-fake-audio-capture", microphone),
		chromedp.WindowSize(phone.width, phone.height),
	)
	allocator, closeBrowser := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(closeBrowser)
	ctx, closePage := chromedp.NewContext(allocator)
	p := &page{t: t, who: who, ctx: ctx, said: &lines{}, errors: &lines{}}
	if err := chromedp.Do(ctx); err != nil { // starts the browser
		closePage()
		t.Fatalf("start %s's browser: %v", who, err)
	}
	silent := p.readConsole()
	t.Cleanup(func() {
		if t.Failed() {
			p.picture("failed-" + strings.ReplaceAll(t.Name(), "/", "-") + "-" + who)
			t.Logf("%s's page shows:\n%s\n%s's console:\n%s", who, p.textNow(), who, p.said.tail(4000))
		}
		closePage()
		<-silent
	})
	p.show(phone, "light")
	return p
}

// readConsole keeps what the page says, and fails the test when the page throws or its own policy stops it. The channel is
// closed when the page is.
func (p *page) readConsole() (silent <-chan struct{}) {
	messages := chromedp.Console(p.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range messages {
			if err != nil {
				return
			}
			_, _ = fmt.Fprintln(p.said, m, m.URL)
			// A busy machine has nodes that are slow, and connections that end; the page goes on elsewhere.
			busy := strings.Contains(m.Text, "net::ERR_") || strings.Contains(m.Text, "a status of 503")
			if m.Type == chromedp.ConsoleError && !busy {
				_, _ = fmt.Fprintln(p.errors, m, m.URL)
			}
			if m.IsException() || strings.Contains(m.String(), "Content Security Policy") {
				p.t.Errorf("%s's page broke: %s", p.who, m)
			}
		}
	}()
	return done
}

// browserPath finds Chromium.
func browserPath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ROTUNDA_BROWSER"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no browser to test with: install Chromium (`make test` does, on Debian) or name one in ROTUNDA_BROWSER")
	return ""
}

// size is a screen.
type size struct {
	name          string
	width, height int
}

var (
	phone   = size{"phone", 390, 844}
	desktop = size{"desktop", 1280, 800}
)

// show makes the screen of that size and colour scheme, and keeps it from moving: a picture is not to catch a colour half-way.
func (p *page) show(s size, scheme string) {
	p.t.Helper()
	err := chromedp.Do(p.ctx,
		chromedp.EmulateViewport(int64(s.width), int64(s.height)),
		chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
			})
			return err
		}))
	if err != nil {
		p.t.Fatalf("%s: show %s %s: %v", p.who, s.name, scheme, err)
	}
}

// open loads a page.
func (p *page) open(url string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(url)); err != nil {
		p.t.Fatalf("%s: open %s: %v", p.who, url, err)
	}
}

// openAndStay loads a page that will not find another node nearer until the function that it returns is called: on a busy machine
// one of three alike may seem so.
func (p *page) openAndStay(url string, m *mesh) (free func()) {
	p.t.Helper()
	block := func(patterns []*network.BlockPattern) {
		p.t.Helper()
		err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: patterns})
			return err
		}))
		if err != nil {
			p.t.Fatalf("%s: block requests: %v", p.who, err)
		}
	}
	err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		return err
	}))
	if err != nil {
		p.t.Fatalf("%s: watch requests: %v", p.who, err)
	}
	var others []*network.BlockPattern
	for _, u := range m.urls {
		if !strings.HasPrefix(url, u) {
			// The question whether a node has a room as well: a page may doubt its own node on a busy machine.
			others = append(others, &network.BlockPattern{URLPattern: u + "/v1/ping", Block: true}, &network.BlockPattern{URLPattern: u + "/v1/rooms/*", Block: true})
		}
	}
	block(others)
	p.open(url)
	for _, o := range others {
		failed, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`fetch(%q).then(() => false, () => true)`, o.URLPattern), chromedp.EvalAwaitPromise))
		if err != nil || !failed {
			p.t.Fatalf("%s: %s is not blocked (%v)", p.who, o.URLPattern, err)
		}
	}
	return func() { p.t.Helper(); block(nil) }
}

// press clicks the button or link of that name with the mouse, once it is there and may be pressed.
func (p *page) press(name string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`//*[self::button or self::a][not(@disabled)][@aria-label=%[1]q or contains(normalize-space(.), %[1]q)]`, name), name)
}

func (p *page) click(xpath, name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.WaitVisible(xpath), chromedp.ScrollIntoView(xpath))
	if err == nil {
		p.stands(xpath)
		err = chromedp.Do(ctx, chromedp.Click(xpath))
	}
	if err != nil {
		p.t.Fatalf("%s: press %q: %v", p.who, name, err)
	}
}

// fill types into the field of that label, over what it held.
func (p *page) fill(label, text string) {
	p.t.Helper()
	xpath := fmt.Sprintf(`//label[contains(normalize-space(.), %q)]//*[self::input or self::textarea]`, label)
	p.click(xpath, label)
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.activeElement.select(), true`))
	if err == nil {
		err = chromedp.Do(ctx, chromedp.KeyEvent(text))
	}
	if err != nil {
		p.t.Fatalf("%s: fill %q: %v", p.who, label, err)
	}
}

// sees waits until the words can be read on the page.
func (p *page) sees(words string) {
	p.t.Helper()
	p.until(fmt.Sprintf("sees %q", words), fmt.Sprintf(`document.body.innerText.includes(%q)`, words), patience)
}

// doesNotSee fails when the words are on the page now.
func (p *page) doesNotSee(words string) {
	p.t.Helper()
	if strings.Contains(p.textNow(), words) {
		p.t.Errorf("%s sees %q", p.who, words)
	}
}

// until asks the page again and again until the expression is true, and answers how long that took.
func (p *page) until(what, expression string, within time.Duration) time.Duration {
	p.t.Helper()
	start := time.Now()
	for {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return time.Since(start)
		}
		if time.Since(start) > within {
			p.t.Fatalf("%s: not within %v: %s (%v)", p.who, within, what, err)
		}
		time.Sleep(40 * time.Millisecond) // how often a person would look; the condition decides, not the pause
	}
}

func (p *page) textNow() string {
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return text
}

// tile is the expression that is true when somebody's place on the stage carries the mark.
func tile(name, mark, value string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("[data-user]")].some(e => e.querySelector(".person-name bdi").textContent === %q && e.dataset[%q] === %q)`, name, mark, value)
}

// phase is the expression that is true while the page says so of its connection.
func phase(name string) string {
	return fmt.Sprintf(`document.querySelector("[data-phase]")?.dataset.phase === %q`, name)
}

// speaks has the page go over to a language, as it does when it is chosen in another tab.
func (p *page) speaks(language string) {
	p.t.Helper()
	const chosen = `(l => { localStorage.setItem("rotunda.language", l); dispatchEvent(new StorageEvent("storage", {key: "rotunda.language", newValue: l})); return true })(%q)`
	p.run(fmt.Sprintf(chosen, language))
	p.until("is written in "+language, fmt.Sprintf(`document.documentElement.lang === %q`, language), patience)
}

// stands waits until a control is in the same place for two frames, with nothing before it: the mouse meets what was painted, not what
// is to be after scrolling. What never comes to rest is clicked on as it is.
func (p *page) stands(xpath string) {
	p.t.Helper()
	where := fmt.Sprintf(`(e => { const r = e.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;
		return e.contains(document.elementFromPoint(x, y)) ? x + " " + y : "" })(document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue)`, xpath)
	for last, n := "", 0; n < 20; n++ {
		p.painted()
		at, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](where))
		if err == nil && at != "" && at == last {
			return
		}
		last = at
	}
}

// painted waits for two frames: the layout after a change, and its painting.
func (p *page) painted() {
	const painted = `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`
	_, _ = chromedp.Run(p.ctx, chromedp.Evaluate[bool](painted, chromedp.EvalAwaitPromise))
}

func (p *page) picture(name string) {
	p.painted()
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(artefacts(p.t), name+".png"), picture, 0o644)
	}
	if err != nil {
		p.t.Logf("%s: picture %s: %v", p.who, name, err)
	}
}
