package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// What a cheap phone on a bad network is taken to be.
const (
	pageLoads    = 5
	pageCPU      = 4      // times slower
	pageLatency  = 400    // ms, of each request
	pageBytes    = 50_000 // a second, both ways: 400 kbit/s
	pagePatience = time.Minute
)

// firstSound is page script: it notes when somebody's ring first lights up, which follows the sound that is played (CSRC).
const firstSound = `new MutationObserver(() => { if (!window.figureSound && document.querySelector("[data-speaking=true]")) window.figureSound = performance.now() })
	.observe(document, {subtree: true, childList: true, attributes: true})`

// page measures how long it takes a browser that has never been here from the link to the sound: as this machine is, and as a cheap phone
// on slow 3G is. Whoever comes taps as soon as there is something to tap on.
func page(ctx context.Context, root string) ([]figure, error) {
	m, err := startMesh(ctx, root)
	if err != nil {
		return nil, err
	}
	defer m.stop()
	v, err := hostSpeaks(ctx, m)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	var figures []figure
	for _, slow := range []bool{false, true} {
		var taps, sounds []float64
		for range pageLoads {
			tap, sound, err := visit(ctx, m.nodes[1].url, v.room, slow)
			if err != nil {
				return nil, err
			}
			taps, sounds = append(taps, tap), append(sounds, sound)
		}
		slices.Sort(taps)
		slices.Sort(sounds)
		name, goal, how := "page: from the link to the first sound", "≤ 1.5 s", "as this machine is"
		if slow {
			name, goal = name+", a cheap phone on slow 3G", "≤ 10 s"
			how = fmt.Sprintf("CPU throttled %d ×, %d ms and %d kbit/s for all that the page does", pageCPU, pageLatency, pageBytes*8/1000)
		}
		figures = append(figures, figure{name, fmt.Sprintf("%.1f s (%.1f to %.1f)", sounds[pageLoads/2], sounds[0], sounds[pageLoads-1]), goal,
			fmt.Sprintf("Chromium with an empty cache, %d loads, the median; something to tap on after %.1f s; %s", pageLoads, taps[pageLoads/2], how)})
	}
	return figures, nil
}

// visit opens the room in a browser of its own and taps; it answers when there was something to tap on and when there was sound, in seconds
// after the link was followed.
func visit(ctx context.Context, url, room string, slow bool) (tap, sound float64, err error) {
	bob, err := newGuest(ctx, url, "Bob")
	if err != nil {
		return 0, 0, err
	}
	browser := os.Getenv("ROTUNDA_BROWSER")
	if browser == "" {
		if browser, err = exec.LookPath("chromium"); err != nil {
			return 0, 0, fmt.Errorf("no browser: %w (make browser installs one)", err)
		}
	}
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(dir))
	allocator, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	defer closeBrowser()
	tab, closeTab := chromedp.NewContext(allocator)
	defer closeTab()
	if err := chromedp.Do(tab); err != nil { // starts the browser
		return 0, 0, err
	}
	within, cancel := context.WithTimeout(tab, pagePatience)
	defer cancel()
	const listen = `//button[contains(., "Start listening")]`
	err = chromedp.Do(within,
		chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error { return emulate(ctx, slow) }),
		chromedp.Navigate(url+"/r/"+room+"#token="+bob.Token),
		chromedp.WaitVisible(listen),
	)
	if err != nil {
		return 0, 0, err
	}
	if tap, err = chromedp.Run(within, chromedp.Evaluate[float64](`performance.now()`)); err != nil {
		return 0, 0, err
	}
	if err = chromedp.Do(within, chromedp.Click(listen)); err != nil {
		return 0, 0, err
	}
	for {
		if sound, err = chromedp.Run(within, chromedp.Evaluate[float64](`window.figureSound ?? 0`)); err != nil || sound > 0 {
			return tap / 1000, sound / 1000, err
		}
		select {
		case <-within.Done():
			return 0, 0, within.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// emulate makes the page note its first sound and, where it is to be slow, slow.
func emulate(ctx context.Context, slow bool) error {
	if _, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: firstSound}); err != nil {
		return err
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil || !slow {
		return err
	}
	if _, err := chromedp.Call(ctx, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: pageCPU}); err != nil {
		return err
	}
	_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Latency: pageLatency, DownloadThroughput: pageBytes, UploadThroughput: pageBytes}}, // of all: its media too
	})
	return err
}
