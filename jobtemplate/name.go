package jobtemplate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxName leaves room in a label of 63 for "-xxxxx" twice: Kubernetes
	// appends it to a Job's name, and again to its pod's.
	maxName = 63 - 2*len("-xxxxx")
	// maxPrefix leaves room for enough of the pool's name to be recognised.
	maxPrefix  = maxName - 20
	hashDigits = 8
)

var (
	validPrefix = regexp.MustCompile(`^([a-z0-9][a-z0-9-]*)?$`)
	// hashed is what names end in that had to be changed.
	hashed = regexp.MustCompile(fmt.Sprintf(`(^|-)[0-9a-f]{%d}$`, hashDigits))
)

// Name returns the name of a pool's ScaledJob, which is also what the names of
// its Jobs and pods begin with. It is a DNS label of at most 51 characters, so
// that those that Kubernetes appends for the Job and the pod fit into 63. Pools
// that differ in more than upper and lower case have different names. A prefix
// that cannot begin such a label is an error, as is an empty pool.
func Name(prefix, pool string) (string, error) {
	if pool == "" || !utf8.ValidString(pool) {
		return "", FieldError{Field: "pool", Problem: "must be the name of an agent pool, in UTF-8"}
	}
	prefix, err := normalPrefix(prefix)
	if err != nil {
		return "", err
	}
	folded := strings.Map(foldRune, pool)
	label := strings.Join(strings.FieldsFunc(folded, notInLabel), "-")
	room := maxName - len(prefix)
	// A name that looks like the result of a change gets a hash as well, so that
	// no two pools have the same name.
	if label == folded && len(label) <= room && !hashed.MatchString(label) {
		return prefix + label, nil
	}
	sum := sha256.Sum256([]byte(folded))
	hash := hex.EncodeToString(sum[:])[:hashDigits]
	label = label[:min(len(label), room-hashDigits-1)]
	label = strings.TrimRight(label, "-")
	if label != "" {
		label += "-"
	}
	return prefix + label + hash, nil
}

// normalPrefix is the prefix with exactly one dash at its end. Spaces and upper
// case are replaced, as the older orchestrator did.
func normalPrefix(prefix string) (string, error) {
	normal := strings.TrimRight(strings.ReplaceAll(strings.ToLower(prefix), " ", "-"), "-")
	if normal == "" && prefix != "" || !validPrefix.MatchString(normal) || len(normal) >= maxPrefix {
		return "", FieldError{Field: "prefix", Problem: fmt.Sprintf(
			"%q must be up to %d letters, digits and dashes, and begin with a letter or digit", prefix, maxPrefix-1)}
	}
	if normal == "" {
		return "", nil
	}
	return normal + "-", nil
}

// foldRune maps all forms of a letter to the same one: Azure DevOps takes
// "Linux" and "linux" for one pool.
func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	if least >= 'A' && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// notInLabel matches what is replaced by a dash in a DNS label, or is one.
func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9')
}
