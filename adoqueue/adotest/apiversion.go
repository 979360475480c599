package adotest

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// apiVersion is a version of the REST API, as in 7.1 or 7.2-preview.2.
type apiVersion struct {
	major, minor int
	preview      bool
}

var versionForm = regexp.MustCompile(`^(\d+)\.(\d+)(-preview(?:\.\d+)?)?$`)

// after compares numbers and leaves the preview flag out.
func (v apiVersion) after(other apiVersion) bool {
	if v.major != other.major {
		return v.major > other.major
	}
	return v.minor > other.minor
}

func (v apiVersion) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// versionRange is what a flavour understands: released without and latest with
// the flag -preview.
type versionRange struct{ released, latest apiVersion }

func (f Flavour) versions() versionRange {
	switch f {
	case Server2022Update1:
		return versionRange{apiVersion{major: 7, minor: 1}, apiVersion{major: 7, minor: 1}}
	case Server2022:
		return versionRange{apiVersion{major: 7}, apiVersion{major: 7}}
	case Server2020:
		return versionRange{apiVersion{major: 6}, apiVersion{major: 6}}
	case Server2019:
		return versionRange{apiVersion{major: 5}, apiVersion{major: 5}}
	default:
		return versionRange{apiVersion{major: 7, minor: 1}, apiVersion{major: 7, minor: 2}}
	}
}

// requestedVersion reads the query first and then the Accept header.
func requestedVersion(r *http.Request) string {
	if v := r.URL.Query().Get("api-version"); v != "" {
		return v
	}
	for _, accept := range r.Header.Values("Accept") {
		for _, part := range strings.FieldsFunc(accept, func(c rune) bool { return c == ';' || c == ',' }) {
			if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(name, "api-version") {
				return value
			}
		}
	}
	return ""
}

// negotiate returns the version to echo in the content type, or an answer that
// refuses the requested one.
func (s *Server) negotiate(c *call) (echo string, refused *answer) {
	accepted := s.opts.Flavour.versions()
	text := requestedVersion(c.Request)
	if text == "" {
		read := c.Method == http.MethodGet || c.Method == http.MethodHead || c.Method == http.MethodOptions
		if !read || c.route.preview {
			return "", badVersion("VssVersionNotSpecifiedException", fmt.Sprintf(
				`No api-version was supplied for the %q request. The version must be supplied either as part of the Accept header (e.g. "application/json; api-version=1.0") or as a query parameter (e.g. "?api-version=1.0").`,
				c.Method))
		}
		return accepted.released.String(), nil
	}
	v, ok := parseVersion(text)
	switch {
	case !ok, v.after(accepted.latest):
		return "", badVersion("VssVersionOutOfRangeException", fmt.Sprintf(
			`The requested REST API version of %q is out of the valid range for this server. The latest REST API version supported by this server is %s.`,
			text, accepted.latest))
	case !v.preview && (c.route.preview || v.after(accepted.released)):
		return "", badVersion("VssInvalidPreviewVersionException", fmt.Sprintf(
			`The requested version "%[1]s" of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: "%[1]s-preview"`,
			text))
	}
	return text, nil
}

func parseVersion(text string) (apiVersion, bool) {
	parts := versionForm.FindStringSubmatch(text)
	if parts == nil {
		return apiVersion{}, false
	}
	major, err1 := strconv.Atoi(parts[1])
	minor, err2 := strconv.Atoi(parts[2])
	v := apiVersion{major: major, minor: minor, preview: parts[3] != ""}
	return v, err1 == nil && err2 == nil
}

func badVersion(typeKey, message string) *answer {
	return &answer{status: http.StatusBadRequest, body: errorBody(typeKey, message)}
}
