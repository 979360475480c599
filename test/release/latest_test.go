package release_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// git runs a command of Git in a repository.
func git(t *testing.T, root string, args ...string) {
	t.Helper()
	args = append([]string{"-C", root, "-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)
	if output, err := run(t, "git", args...); err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, output)
	}
}

// tagged returns the root of a repository with these tags.
func tagged(t *testing.T, tags ...string) string {
	t.Helper()
	root := repository(t)
	git(t, root, "init", "--quiet")
	git(t, root, "add", ".")
	git(t, root, "commit", "--quiet", "--message", "First")
	for _, tag := range tags {
		git(t, root, "tag", tag)
	}
	return root
}

// TestLatest keeps "latest" from pre-releases, and from fixes of older versions.
func TestLatest(t *testing.T) {
	for _, test := range []struct{ tag, tags, want string }{
		{"v0.1.0", "v0.1.0", "true"},
		{"v1.2.3", "", "true"}, // a dry run, without the tag
		{"v1.2.3-rc.1", "v1.2.3-rc.1", "false"},
		{"v1.0.0-alpha-2", "v0.9.0 v1.0.0-alpha-2", "false"},
		{"v1.3.0", "v1.2.9 v1.3.0", "true"},
		{"v1.2.9", "v1.2.8 v1.2.9 v1.3.0", "false"},
		{"v1.2.9", "v1.2.8 v1.2.9 v1.3.0-rc.1 v2.0.0-alpha", "true"},
		{"v1.10.0", "v1.9.0 v1.10.0", "true"},
		{"v1.9.1", "v1.9.1 v1.10.0", "false"},
		{"v9.0.0", "v9.0.0 v10.0.0", "false"},
		{"v1.2.3", "v1.2.3 v1 v2 v99 latest chart-v7.0.0 v8.0.0.1", "true"},
	} {
		root := tagged(t, strings.Fields(test.tags)...)
		if output, err := run(t, root+"/.ci/release", "latest", test.tag); err != nil || output != test.want+"\n" {
			t.Errorf("latest %s among %s: %q, %v, want %s", test.tag, test.tags, output, err, test.want)
		}
	}
}

// TestLatestOfShallowClone refuses what cannot know of a newer version.
func TestLatestOfShallowClone(t *testing.T) {
	root := tagged(t, "v1.2.9", "v1.3.0")
	git(t, root, "commit", "--quiet", "--allow-empty", "--message", "Second")
	clone := t.TempDir()
	git(t, root, "clone", "--quiet", "--depth", "1", "file://"+root, clone)
	if output, err := run(t, clone+"/.ci/release", "latest", "v1.2.9"); err == nil {
		t.Errorf("a shallow clone says %q", output)
	}
}

// TestPublish compares the flags of the release on GitHub.
func TestPublish(t *testing.T) {
	const tags = "v1.2.9 v1.3.0 v1.4.0-rc.1"
	for tag, want := range map[string]string{
		"v1.2.9":      "--latest=false --prerelease=false",
		"v1.3.0":      "--latest=true --prerelease=false",
		"v1.4.0-rc.1": "--latest=false --prerelease=true",
	} {
		root := tagged(t, strings.Fields(tags)...)
		write(t, root+"/docs/CHANGELOG.md", "## Unreleased\n\nNew.\n\n## 1.3.0\n\nNew.\n\n## 1.2.9\n\nNew.\n\n")
		write(t, root+"/dist/checksums.txt", "")
		calls := fakes(t, map[string]string{"gh": `cat`})
		output, err := run(t, root+"/.ci/release", "publish", tag, filepath.Join(root, "dist"))
		if err != nil || output != "New.\n\n" {
			t.Errorf("notes of %s: %q, %v", tag, output, err)
		}
		want = "gh release create " + tag + " --verify-tag --notes-file - " + want + " " + root + "/dist/checksums.txt"
		if got := calls(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}
