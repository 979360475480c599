package page_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// screenshots names the directory that keeps the pictures; CI uploads it.
const screenshots = "PAGE_SCREENSHOTS"

// keep writes a picture where people find it.
func keep(t *testing.T, name string, picture []byte) {
	t.Helper()
	dir := os.Getenv(screenshots)
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLooks(t *testing.T) {
	s := serve(t, reportOf(12, 300))
	for _, look := range []struct {
		name, scheme  string
		width, height int64
	}{{"light", "light", 1400, 1500}, {"dark", "dark", 1400, 1500}, {"phone", "light", 390, 1700}} {
		t.Run(look.name, func(t *testing.T) {
			b := open(t, s.URL)
			b.size(look.width, look.height)
			b.prefer(look.scheme)
			b.load()
			// Tables scroll by themselves; the page as a whole does not scroll sideways.
			if wide := eval[int64](b, `document.documentElement.scrollWidth`); wide > look.width {
				t.Errorf("the page is %d wide", wide)
			}
			keep(t, look.name+".png", ask(b, chromedp.CaptureScreenshot()))
		})
	}
}
