package page_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axe-core checks pages for what keeps people from using them. It is an npm package
// of half a megabyte, too much to keep here.
const (
	axeVersion = "4.14.1"
	axeFile    = "package/axe.min.js"
	axeSum     = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
)

// axe returns the script, from the user's cache or from npm.
func axe(t *testing.T) string {
	t.Helper()
	cached, err := os.UserCacheDir()
	if err != nil {
		cached = t.TempDir()
	}
	cached = filepath.Join(cached, "ado-agent-orchestrator", "axe-core-"+axeVersion+".js")
	if script, err := os.ReadFile(cached); err == nil && checksum(script) == axeSum {
		return string(script)
	}
	script, err := packed(t)
	if err != nil {
		t.Fatal("get axe-core: ", err)
	}
	if sum := checksum(script); sum != axeSum {
		t.Fatalf("axe-core %s has the checksum %s, want %s", axeVersion, sum, axeSum)
	}
	// Without a cache it works too.
	_ = os.MkdirAll(filepath.Dir(cached), 0o750)
	_ = os.WriteFile(cached, script, 0o600)
	return string(script)
}

func checksum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// packed has npm fetch the package, and takes the script out of it.
func packed(t *testing.T) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	pack := exec.CommandContext(t.Context(), "npm", "pack", "--silent", "--pack-destination", dir, "axe-core@"+axeVersion)
	if output, err := pack.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output)
	}
	archive, err := os.ReadFile(filepath.Join(dir, "axe-core-"+axeVersion+".tgz"))
	if err != nil {
		return nil, err
	}
	plain, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	for files := tar.NewReader(plain); ; {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the package has no " + axeFile)
		}
		if err != nil {
			return nil, err
		}
		if file.Name == axeFile {
			return io.ReadAll(files)
		}
	}
}

// violation is what axe finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// TestAccessible has axe check contrast, names, roles, landmarks and all else that it
// knows, with everything unfolded.
func TestAccessible(t *testing.T) {
	script := axe(t)
	s := serve(t, reportOf(3, 6))
	for _, look := range []struct {
		name, scheme  string
		width, height int64
	}{{"light", "light", 1400, 1000}, {"dark", "dark", 1400, 1000}, {"phone", "dark", 390, 844}} {
		t.Run(look.name, func(t *testing.T) {
			b := open(t, s.URL)
			b.size(look.width, look.height)
			b.prefer(look.scheme)
			// axe takes the liberties that the page does not grant.
			call(b, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
			b.load()
			b.do(chromedp.Evaluate[chromedp.Void](`for (const d of document.querySelectorAll("details")) d.open = true`))
			b.do(chromedp.Evaluate[chromedp.Void](script))
			found := ask(b, chromedp.Evaluate[string](`axe.run().then(JSON.stringify)`, chromedp.EvalAwaitPromise))
			var result struct {
				Violations []violation
				Passes     []struct{ ID string }
			}
			if err := json.Unmarshal([]byte(found), &result); err != nil {
				t.Fatal(err)
			}
			for _, v := range result.Violations {
				t.Errorf("%s (%s): %s", v.ID, v.Impact, v.Help)
				for _, node := range v.Nodes[:min(3, len(v.Nodes))] {
					t.Logf("%s\n%s", node.HTML, node.FailureSummary)
				}
			}
			passed := map[string]bool{}
			for _, rule := range result.Passes {
				passed[rule.ID] = true
			}
			if !passed["color-contrast"] || !passed["page-has-heading-one"] {
				t.Errorf("axe has checked only %v", result.Passes)
			}
		})
	}
}
