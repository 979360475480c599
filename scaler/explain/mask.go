package explain

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

const (
	// masked stands for what looks like a secret.
	masked = "***"
	// leastToken is how long a word has to be to look like a token.
	leastToken = 32
)

var (
	// secretName matches names of what is secret mostly.
	secretName = regexp.MustCompile(`(?i)(password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|account[-_]?key|private[-_]?key|credential|signature|\bsig\b|\bpat\b)`)
	// assigned matches such a name with a value.
	assigned = regexp.MustCompile(`(?i)([\w.-]*(?:password|passwd|pwd|secret|token|api[-_]?key|access[-_]?key|account[-_]?key|private[-_]?key|credential|signature|\bsig)[\w.-]*"?\s*[=:]\s*"?)([^\s",;&]+)`)
	// authorization matches the credentials of an HTTP header.
	authorization = regexp.MustCompile(`\b((?:[Bb]earer|[Bb]asic)) +[A-Za-z0-9+/_.~=-]{8,}`)
	// userinfo matches the password in an address.
	userinfo = regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+@`)
	// jwt matches tokens of Entra.
	jwt = regexp.MustCompile(`\beyJ[\w-]+(?:\.[\w-]+)*`)
	// long matches words of leastToken characters.
	long = regexp.MustCompile(`[A-Za-z0-9+/_=-]{32,}`)
)

// mask returns a text in which *** stands for what looks like a secret.
func mask(text string) string {
	if strings.Contains(text, "://") {
		text = userinfo.ReplaceAllString(text, "${1}"+masked+"@")
	}
	if strings.ContainsAny(text, "=:") {
		text = assigned.ReplaceAllString(text, "${1}"+masked)
	}
	if strings.Contains(text, "eyJ") {
		text = jwt.ReplaceAllString(text, masked)
	}
	if strings.Contains(text, "earer ") || strings.Contains(text, "asic ") {
		text = authorization.ReplaceAllString(text, "$1 "+masked)
	}
	if len(text) < leastToken {
		return text
	}
	return long.ReplaceAllStringFunc(text, func(word string) string {
		if looksRandom(word) {
			return masked
		}
		return word
	})
}

// looksRandom reports whether a long word can be a token: not the digest of an
// image, a GUID, a path or a name that people chose. Tokens of Azure DevOps have 52
// characters of base32 or 84 of base62.
func looksRandom(word string) bool {
	var upper, lower, digit, hex, separators int
	for _, r := range word {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		case unicode.IsDigit(r):
			digit++
		default:
			separators++
		}
		if unicode.IsDigit(r) || r >= 'a' && r <= 'f' {
			hex++
		}
	}
	switch {
	case hex+separators == len(word), digit == 0, separators > len(word)/8:
		return false
	default:
		return upper > 0 && lower > 0 || len(word) >= 48
	}
}

// maxDemands bounds the demands of a request that are shown.
const maxDemands = 50

// shownDemands returns demands as they may be shown.
func shownDemands(demands []adoqueue.Demand) []string {
	var shown []string
	for i := range demands {
		d := &demands[i]
		switch {
		case i == maxDemands:
			return append(shown, "…")
		case d.Value != "" && secretName.MatchString(d.Name):
			shown = append(shown, safetext.Line(strings.TrimSuffix(d.String(), d.Value))+" "+masked)
		default:
			shown = append(shown, mask(safetext.Line(d.String())))
		}
	}
	return shown
}
