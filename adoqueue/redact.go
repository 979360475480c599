package adoqueue

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/http"
	"regexp"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/safetext"
)

const (
	redacted = "[secret]"
	// secretPart is how many characters in a row of a secret are taken out of a
	// text: a text may have been cut in the middle of it.
	secretPart = 12
	// minSecret is the shortest secret that is looked for: one of fewer
	// characters would turn up in ordinary words.
	minSecret = 6
	// maxShown bounds how much of a foreign text is looked through.
	maxShown = 4 << 10
)

// shown returns a foreign text as it may stand in an error: one short printable
// line, without the credential that was sent. Whatever becomes part of an Error
// passes here.
func (x *exchange) shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown]
	}
	return safetext.Line(redact(safetext.Printable(text), x.authorization))
}

// redact takes the credential of an Authorization header out of a text, should
// the other side repeat it: as it is, cut, in other case, and in the encodings
// that are common in URLs, JSON, HTML and headers.
func redact(text, authorization string) string {
	secrets := secretsOf(authorization)
	if len(secrets) == 0 {
		return text
	}
	for _, plain := range []string{unescape(text), html.UnescapeString(text)} {
		if plain != text && holds(plain, secrets) && !holds(text, secrets) {
			text = plain
		}
	}
	text = encodedWord.ReplaceAllStringFunc(text, func(word string) string {
		for _, plain := range decoded(word) {
			if holds(plain, secrets) {
				return redacted
			}
		}
		return word
	})
	for _, secret := range secrets {
		text = mask(text, secret)
	}
	return text
}

// secretsOf returns what must not be shown of an Authorization header.
func secretsOf(authorization string) []string {
	_, token, _ := strings.Cut(authorization, " ")
	secrets := []string{token}
	if plain, err := base64.StdEncoding.DecodeString(token); err == nil {
		// The password first: what is left of the header is useless then.
		secrets = []string{strings.TrimPrefix(string(plain), ":"), token}
	}
	var long []string
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			long = append(long, strings.ToLower(secret))
		}
	}
	return long
}

// holds reports whether a text has a part of a secret, in lower case, in it.
func holds(text string, secrets []string) bool {
	for _, secret := range secrets {
		if mask(text, secret) != text {
			return true
		}
	}
	return false
}

// mask replaces every stretch of text that is part of the secret.
func mask(text, secret string) string {
	lower := asciiLower(text)
	size := min(secretPart, len(secret))
	var out strings.Builder
	for at := 0; at < len(text); {
		end := at
		if at+size <= len(lower) && strings.Contains(secret, lower[at:at+size]) {
			for end = at + size; end < len(lower) && strings.Contains(secret, lower[end-size+1:end+1]); {
				end++
			}
		}
		if end == at {
			out.WriteByte(text[at])
			at++
			continue
		}
		out.WriteString(redacted)
		at = end
	}
	return out.String()
}

// asciiLower keeps the length of a text, which strings.ToLower may not.
func asciiLower(text string) string {
	lower := []byte(text)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

// encodedWord matches what may be base64 or hexadecimal.
var encodedWord = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}={0,2}`)

func decoded(word string) []string {
	word = strings.TrimRight(word, "=")
	var plain []string
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// The first of the word's characters may belong to something else.
		for skip := range 4 {
			if text, err := encoding.DecodeString(wholeGroups(word[skip:])); err == nil {
				plain = append(plain, string(text))
			}
		}
	}
	if text, err := hex.DecodeString(word[:len(word)-len(word)%2]); err == nil {
		plain = append(plain, string(text))
	}
	return plain
}

// wholeGroups cuts base64 where its last group is useless alone.
func wholeGroups(word string) string {
	if len(word)%4 == 1 {
		return word[:len(word)-1]
	}
	return word
}

// escaped matches a character as URLs and JSON may write it.
var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\u00[0-9A-Fa-f]{2}`)

func unescape(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(code string) string {
		char, err := hex.DecodeString(code[len(code)-2:])
		if err != nil {
			return code
		}
		return string(char)
	})
}

// identifier is what an activity id or the short name of a failure looks like.
var identifier = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// identifierOf returns the text if it can only be an identifier.
func identifierOf(text string) string {
	if identifier.MatchString(text) {
		return text
	}
	return ""
}

func activityID(header http.Header) string {
	if id := header.Get("ActivityId"); id != "" {
		return id
	}
	return header.Get("X-VSS-E2EID")
}
