// Package docs_test checks the project's documents: their links, their words and
// the length of their sentences.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = ".."

// files returns the files of the project that match, by their paths from the
// root, and their contents.
func files(t *testing.T, matches func(path string) bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != root && (name == ".git" || name == "testdata" || name == "dist" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		path, err = filepath.Rel(root, path)
		if err != nil || !matches(path) {
			return err
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		found[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func documents(t *testing.T) map[string]string {
	t.Helper()
	return files(t, func(path string) bool { return filepath.Ext(path) == ".md" })
}

var (
	fence      = regexp.MustCompile("(?ms)^ *```.*?\n *```$")
	comment    = regexp.MustCompile(`(?s)<!--.*?-->`)
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.+)$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks requires that each link within the project names a file that exists
// and, after #, one of its headings.
func TestLinks(t *testing.T) {
	all := documents(t)
	if len(all) < 10 {
		t.Fatalf("found only %d documents", len(all))
	}
	checked := 0
	for path, content := range all {
		for _, match := range link.FindAllStringSubmatch(fence.ReplaceAllString(content, ""), -1) {
			target := match[1]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(target, "#")
			if file == "" {
				file = path
			} else {
				file = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: dead link %s: %v", path, target, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(all[file]), anchor) {
				t.Errorf("%s: link %s: %s has no such heading", path, target, file)
			}
		}
	}
	if checked < 40 {
		t.Errorf("checked only %d links", checked)
	}
}

// anchors returns what GitHub makes of the headings of a document.
func anchors(content string) (list []string) {
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(content, ""), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(match[1]), "")
		list = append(list, strings.ReplaceAll(slug, " ", "-"))
	}
	return list
}
