package page_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestUpdates changes what the page shows while somebody reads it.
func TestUpdates(t *testing.T) {
	report := reportOf(5, 60)
	s := serve(t, report)
	b := open(t, s.URL)
	b.size(1000, 500)
	b.load()
	// Somebody has scrolled to a request, unfolded it, and selected a text.
	b.do(chromedp.Evaluate[chromedp.Void](`(() => {
		window.item = document.querySelector('[id$="request-1003"]');
		window.summary = item.querySelector("summary");
		summary.focus();
		summary.click();
		window.scrollTo(0, item.offsetTop - 100);
		getSelection().selectAllChildren(item.querySelector(".name"));
		window.position = item.getBoundingClientRect().top;
	})()`))

	changed := reportOf(5, 60)
	pool := &changed.Pools[0]
	pool.Requests = append([]explain.Request{requestOf(99, 60)}, pool.Requests...)
	pool.Requests = append(pool.Requests[:10], pool.Requests[11:]...)
	pool.ScaledJobs[0].Missing = 7
	changed.Pools[0].Stages[0].First.Sentence, changed.Pools[0].Requests[1].Broken.Sentence = "all is different now", "all is different now"
	s.set(changed)
	b.until(`document.getElementById("headline").textContent === "all is different now"`)

	for expression, want := range map[string]string{
		"the request is the same":    `document.querySelector('[id$="request-1003"]') === item`,
		"it is unfolded":             `item.querySelector("details").open`,
		"it has the focus":           `document.activeElement === summary`,
		"the selection is there":     `getSelection().toString() === item.querySelector(".name").textContent`,
		"it is where it was":         `Math.abs(item.getBoundingClientRect().top - position) < 2`,
		"a new request is there":     `!!document.querySelector('[id$="request-1099"]')`,
		"a request has gone":         `!document.querySelector('[id$="request-1009"]')`,
		"a number has changed":       `document.querySelector("td.lacks").textContent !== ""`,
		"it says that it is updated": `document.getElementById("freshness").textContent === "Updated every 2 s"`,
	} {
		if !eval[bool](b, want) {
			t.Errorf("not so: %s", expression)
		}
	}
}

// TestUpdatesEndInWhatAReloadShows compares many updates with the page that a
// browser without the script would load.
func TestUpdatesEndInWhatAReloadShows(t *testing.T) {
	first, last := reportOf(8, 90), reportOf(4, 40)
	last.Pools[0].ScaledJobs = last.Pools[0].ScaledJobs[2:]
	last.Pools[0].Requests = last.Pools[0].Requests[3:]
	last.Pools = append([]explain.Pool{{Name: "Windows", ID: 3, Organization: organization}}, last.Pools...)
	s := serve(t, first)
	b := open(t, s.URL)
	b.load()
	s.set(last)
	b.until(`document.querySelectorAll(".pool").length === 2`)
	const shown = `document.getElementById("main").outerHTML`
	updated := eval[string](b, shown)
	b.load()
	if loaded := eval[string](b, shown); updated != loaded {
		t.Errorf("updated:\n%s\nloaded:\n%s", updated, loaded)
	}
}

func TestPauses(t *testing.T) {
	s := serve(t, reportOf(2, 10))
	b := open(t, s.URL)
	b.load()
	for _, pause := range []struct{ name, begin, end string }{
		{"by the button", `document.getElementById("pause").click()`, `document.getElementById("pause").click()`},
		{
			"while hidden",
			`Object.defineProperty(document, "hidden", {value: true, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`,
			`delete document.hidden; document.dispatchEvent(new Event("visibilitychange"))`,
		},
	} {
		b.do(chromedp.Evaluate[chromedp.Void](pause.begin))
		before := b.asked()
		b.pass(time.Minute)
		if after := b.asked(); after != before {
			t.Errorf("paused %s, but asked %d times", pause.name, after-before)
		}
		b.do(chromedp.Evaluate[chromedp.Void](pause.end))
		b.pass(10 * time.Second)
		if after := b.asked(); after < before+2 {
			t.Errorf("not paused %s any more, but asked only %d times", pause.name, after-before)
		}
	}
}

// pass has the time of the page pass, without anybody waiting for it.
func (b *tab) pass(d time.Duration) {
	b.t.Helper()
	milliseconds := float64(d.Milliseconds())
	policy := emulation.SetVirtualTimePolicyParams{Policy: emulation.VirtualTimePolicyPauseIfNetworkFetchesPending, Budget: &milliseconds}
	ask(b, chromedp.WaitEvent(emulation.VirtualTimeBudgetExpired, nil, func(ctx context.Context, target *chromedp.Target) (emulation.SetVirtualTimePolicyResult, error) {
		return cdp.Call(ctx, target, emulation.SetVirtualTimePolicy, policy)
	}))
}

func TestSaysThatItIsOutOfDate(t *testing.T) {
	s := serve(t, reportOf(2, 10))
	b := open(t, s.URL)
	b.tolerant = true // the browser reports that the server is gone
	b.load()
	s.CloseClientConnections()
	s.Close()
	b.until(`document.querySelector("#freshness.stale")?.textContent === "Not up to date: the scaler does not answer"`)
}

func TestWithoutScripts(t *testing.T) {
	s := serve(t, reportOf(5, 300))
	b := open(t, s.URL)
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.load()
	html := ask(b, chromedp.OuterHTML(chromedp.CSS("html")))
	for _, text := range []string{"counted is not reached: no-scaled-job", "do something about it", "250 more jobs", `aria-pressed="false" hidden=""`} {
		if !strings.Contains(html, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	b.do(chromedp.Click(chromedp.CSS(`[id$="request-1000"] summary`)))
	if html := ask(b, chromedp.OuterHTML(chromedp.CSS(`[id$="request-1000"]`))); !strings.Contains(html, "<details open") {
		t.Errorf("a request does not unfold: %s", html)
	}
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name="run"]`), "20261125.7"+kb.Enter))
	b.do(chromedp.WaitReady(chromedp.CSS(`input[name="run"][value="20261125.7"]`)))
}

// TestKeyboard goes through the page by the tabulator key alone.
func TestKeyboard(t *testing.T) {
	s := serve(t, reportOf(3, 6))
	b := open(t, s.URL)
	b.load()
	type place struct {
		Index int
		Seen  bool
		What  string
	}
	const all = `[...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter((e) => e.checkVisibility())`
	const here = `(() => {
		const e = document.activeElement, box = e.getBoundingClientRect();
		return {index: ` + all + `.indexOf(e), what: e.outerHTML.slice(0, 80),
			seen: getComputedStyle(e).outlineStyle !== "none" && box.top >= 0 && box.bottom <= innerHeight + 1};
	})()`
	for want := range eval[int](b, all+".length") {
		b.do(chromedp.KeyEvent(kb.Tab))
		if at := eval[place](b, here); at.Index != want || !at.Seen {
			t.Fatalf("press %d leads to %+v", want+1, at)
		}
	}
	// The space bar unfolds a folded part, whose content comes next.
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector(".requests summary").focus()`),
		chromedp.KeyEvent(" "), chromedp.KeyEvent(kb.Tab))
	if href := eval[string](b, `document.activeElement.href`); !strings.HasPrefix(href, organization) {
		t.Errorf("after a request comes %q, want the link to its run", href)
	}
}

func TestForeignTextIsShownAsText(t *testing.T) {
	const hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31mred\x1b[0m \u202egnp.exe\u202c \u2067abc"
	const shown = "<img src=x onerror=alert(1)><script>alert(2)</script>[31mred[0m gnp.exe abc"
	report := reportOf(3, 10)
	pool := &report.Pools[0]
	pool.Name, pool.AzureDevOps.Error = hostile, hostile
	pool.Requests[0].Pipeline, pool.Requests[0].Demands, pool.Requests[0].URL = hostile, []string{hostile}, "javascript:alert(3)"
	pool.Requests[0].Broken.Sentence, pool.Requests[0].Broken.Fix = hostile, hostile
	pool.ScaledJobs[0].Name, pool.ScaledJobs[0].Warnings = hostile, []string{hostile}
	b := open(t, serve(t, report).URL)
	b.load()
	for name, expression := range map[string]string{
		"headline": `document.getElementById("headline").textContent`,
		"pool":     `document.querySelector(".pool h2 bdi").textContent`,
		"demand":   `document.querySelector(".request code").textContent`,
		"fix":      `document.querySelector(".answer .fix bdi").textContent`,
	} {
		if got := eval[string](b, expression); got != shown {
			t.Errorf("%s: %q, want %q", name, got, shown)
		}
	}
	if n := eval[int](b, `document.querySelectorAll("img, main script").length + [...document.links].filter((a) => a.protocol === "javascript:").length`); n != 0 {
		t.Errorf("%d elements come from names", n)
	}
}

// TestPolicyHolds sees the browser refuse what the page does not need.
func TestPolicyHolds(t *testing.T) {
	b := open(t, serve(t, reportOf(1, 5)).URL)
	b.tolerant = true
	b.load()
	for name, attempt := range map[string]string{
		"inline script": `(() => { try { document.body.append(Object.assign(document.createElement("script"), {textContent: "window.broken = true"})); } catch {} return window.broken })()`,
		"markup":        `(() => { try { document.body.innerHTML = "<b>x</b>"; return true } catch { return false } })()`,
		"inline style":  `(() => { const e = document.createElement("p"); e.setAttribute("style", "color: red"); document.body.append(e); return e.style.color === "red" })()`,
	} {
		if eval[*bool](b, attempt) != nil && *eval[*bool](b, attempt) {
			t.Errorf("%s is allowed", name)
		}
	}
}
