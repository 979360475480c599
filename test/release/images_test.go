package release_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	scalerDigest = "sha256:aaaa"
	agentDigest  = "sha256:bbbb"
	dockerDigest = "sha256:cccc"

	index = `{"manifests": [
		{"digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"}},
		{"digest": "sha256:2", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
		{"digest": "sha256:3", "platform": {"os": "unknown", "architecture": "unknown"}}]}`
)

// images runs a command of the script for three images that were pushed, and returns
// the calls of fakes.
func images(t *testing.T, command, tag string, scripts map[string]string) (calls []string, err error) {
	t.Helper()
	root := tagged(t, "v1.2.9", "v1.3.0", "v1.4.0-rc.1")
	digests := t.TempDir()
	for name, digest := range map[string]string{"ado-agent-orchestrator": scalerDigest, "agent": agentDigest, "agent-docker": dockerDigest} {
		write(t, filepath.Join(digests, name), digest+"\n")
	}
	t.Setenv("DIGESTS", digests)
	t.Setenv("REGISTRY", "example.com/fork")
	list := fakes(t, scripts)
	output, err := run(t, root+"/.ci/release", command, tag)
	t.Logf("%s %s: %v\n%s", command, tag, err, output)
	return list(), err
}

// starting returns the calls that start so, without that.
func starting(calls []string, prefix string) (rest []string) {
	for _, call := range calls {
		if after, found := strings.CutPrefix(call, prefix); found {
			rest = append(rest, after)
		}
	}
	return rest
}

// TestScan scans each platform of each image, by its digest.
func TestScan(t *testing.T) {
	calls, err := images(t, "scan", "v1.3.0", map[string]string{"docker": "echo '" + index + "'", "grype": ""})
	if err != nil {
		t.Error(err)
	}
	var want []string
	for _, image := range []string{"ado-agent-orchestrator@" + scalerDigest, "agent@" + agentDigest, "agent@" + dockerDigest} {
		for _, platform := range []string{"linux/amd64", "linux/arm64/v8"} {
			want = append(want, "--platform "+platform+" --only-fixed --fail-on high registry:example.com/fork/"+image)
		}
	}
	if got := starting(calls, "grype "); !slices.Equal(got, want) {
		t.Errorf("scanned are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestScanFails covers an image that only one platform makes unfit, and images whose
// platforms are unknown.
func TestScanFails(t *testing.T) {
	for name, scripts := range map[string]map[string]string{
		"a vulnerability on arm64": {"docker": "echo '" + index + "'", "grype": `case "$*" in *arm64*) exit 2 ;; esac`},
		"no platform":              {"docker": `echo '{"manifests": []}'`, "grype": ""},
		"not an index":             {"docker": `echo '{"layers": []}'`, "grype": ""},
		"no answer":                {"docker": "exit 1", "grype": ""},
	} {
		if _, err := images(t, "scan", "v1.3.0", scripts); err == nil {
			t.Errorf("%s: the scan passes", name)
		}
	}
}

func TestSign(t *testing.T) {
	calls, err := images(t, "sign", "v1.3.0", map[string]string{"cosign": ""})
	if err != nil {
		t.Error(err)
	}
	want := []string{
		"ado-agent-orchestrator@" + scalerDigest, "agent@" + agentDigest, "agent@" + dockerDigest,
	}
	if got := starting(calls, "cosign sign --yes --recursive example.com/fork/"); len(calls) != 3 || !slices.Equal(got, want) {
		t.Errorf("the calls are %q", calls)
	}
	if _, err := images(t, "sign", "v1.3.0", map[string]string{"cosign": "exit 1"}); err == nil {
		t.Error("a failure to sign is lost")
	}
}

// registry is a fake of docker whose tags are files.
func registry(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	return `case "$3" in
create) echo "${6##*@}" >"` + folder + `/$(basename "$5")" ;;
inspect) cat "` + folder + `/$(basename "$6")" ;;
esac`
}

// TestTag compares the tags of a release, of a fix of an older version, and of a
// pre-release.
func TestTag(t *testing.T) {
	for tag, latest := range map[string]bool{"v1.3.0": true, "v1.2.9": false, "v1.4.0-rc.1": false} {
		calls, err := images(t, "tag", tag, map[string]string{"docker": registry(t)})
		if err != nil {
			t.Error(err)
		}
		var want []string
		for _, image := range []struct{ name, suffix, digest string }{
			{"ado-agent-orchestrator", "", scalerDigest}, {"agent", "", agentDigest}, {"agent", "-docker", dockerDigest},
		} {
			repository := "example.com/fork/" + image.name
			want = append(want, repository+":"+strings.TrimPrefix(tag, "v")+image.suffix+" "+repository+"@"+image.digest)
			if latest {
				want = append(want, repository+":latest"+image.suffix+" "+repository+"@"+image.digest)
			}
		}
		if got := starting(calls, "docker buildx imagetools create --tag "); !slices.Equal(got, want) {
			t.Errorf("%s: the tags are\n%s\nwant\n%s", tag, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestTagOfAnotherDigest refuses a tag that is not what was scanned and signed.
func TestTagOfAnotherDigest(t *testing.T) {
	if _, err := images(t, "tag", "v1.3.0", map[string]string{"docker": `[ "$3" = create ] || echo sha256:dddd`}); err == nil {
		t.Error("the tag is accepted")
	}
}

// TestNoImages fails when there is nothing to scan, sign or tag.
func TestNoImages(t *testing.T) {
	root := tagged(t, "v1.3.0")
	fakes(t, map[string]string{"docker": "", "grype": "", "cosign": ""})
	for _, digests := range []string{"", t.TempDir()} {
		t.Setenv("DIGESTS", digests)
		for _, command := range []string{"scan", "sign", "tag"} {
			if output, err := run(t, root+"/.ci/release", command, "v1.3.0"); err == nil {
				t.Errorf("%s without an image passes: %s", command, output)
			}
		}
	}
}
