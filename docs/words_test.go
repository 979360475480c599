package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// avoided are expressions that readers stumbled over, each with what to write in
// its place. The field's standard terms are easier to find, and to understand for
// those whose first language is not English.
var avoided = []struct{ pattern, instead string }{
	{`tells?|told|telling`, `"reports", "returns", "says" or "logs"; "distinguishes" for "tells apart"`},
	{`gives|gave`, `"returns" of a function, else "grants", "sets", "assigns"; what is given back is "released"`},
	{`in vain`, `"surplus"`},
	{`anew`, `"again"`},
	{`for ever`, `"forever", or how long`},
	{`parted by \w+`, `"comma-separated"`},
	{`at last`, `the order in time, or nothing`},
	{`(see|sees|saw) to (it|that|them|the)|could not be seen to`, `the verb of what is done: "ensures", "creates", "reconciles"`},
	{`mend(s|ed|ing)?`, `"fix", "repair"`},
	{`takes?n? for`, `"treat as", "regard as"`},
	{`(had|have|go|goes|gone|going) without`, `"optional", "missing"`},
	{`of old`, `"older", "previous"`},
	{`likewise`, `what it is, again: text must stand alone`},
	{`of (its|their|your|our) own`, `"its own …", "separate", "custom"`},
	{`(of|be) no use`, `"unused", "useless"`},
	{`for want of`, `"because … is missing", "without"`},
	{`good for`, `"valid for"`},
	{`goes by`, `"uses", "depends on"`},
	{`be it`, `"whether … or …"`},
	{`of consequence`, `"matters"`},
	{`shall`, `"must", "will" or "should"`},
	{`look on`, `"watch"`},
	{`lest`, `"so that … not"`},
}

// headless is a sentence whose subject is a clause in place of a noun. Readers have to
// guess what it is about.
var headless = regexp.MustCompile(`(^|[.] )(What|Whoever|Those (that|who)) [^.?:]*[.]`)

// text is a piece of prose, and where it is.
type text struct {
	place, words string
}

// TestWords keeps avoided expressions out of documents, comments, templates, and
// what the program prints.
func TestWords(t *testing.T) {
	var patterns []*regexp.Regexp
	for _, word := range avoided {
		patterns = append(patterns, regexp.MustCompile(`(?i)\b(`+word.pattern+`)\b`))
	}
	texts := prose(t)
	if len(texts) < 2000 {
		t.Fatalf("found only %d pieces of prose", len(texts))
	}
	for _, piece := range texts {
		for i, pattern := range patterns {
			if found := pattern.FindString(piece.words); found != "" {
				t.Errorf("%s: %q: write %s", piece.place, found, avoided[i].instead)
			}
		}
		if found := headless.FindString(piece.words); found != "" {
			t.Errorf("%s: %q: name the subject", piece.place, found)
		}
	}
}

// prose returns everything that people read. Identifiers and code are left out.
func prose(t *testing.T) (texts []text) {
	t.Helper()
	for path, content := range files(t, hasProse) {
		if filepath.Ext(path) == ".go" {
			texts = append(texts, proseOfGo(t, path, content)...)
			continue
		}
		if filepath.Ext(path) == ".md" {
			content = plain(content)
		}
		for n, line := range strings.Split(content, "\n") {
			texts = append(texts, text{fmt.Sprintf("%s:%d", path, n+1), inlineCode.ReplaceAllString(line, "x")})
		}
	}
	slices.SortFunc(texts, func(a, b text) int { return strings.Compare(a.place, b.place) })
	return texts
}

func hasProse(path string) bool {
	switch filepath.Base(path) {
	case "Dockerfile", "NOTES.txt", "run", "images", "release", "fuzz":
		return true
	case "words_test.go", "externalscaler.proto": // ours is what is avoided, the other is KEDA's
		return false
	}
	switch filepath.Ext(path) {
	case ".go", ".md", ".yaml", ".yml", ".tpl", ".sh":
		return true
	}
	return false
}

// plain blanks what is not prose in a document, and keeps the numbers of lines.
func plain(content string) string {
	for _, code := range []*regexp.Regexp{fence, comment} {
		content = code.ReplaceAllStringFunc(content, func(s string) string { return strings.Repeat("\n", strings.Count(s, "\n")) })
	}
	return content
}

// proseOfGo returns the comments of a file, and the strings of more than one word
// unless it is a test.
func proseOfGo(t *testing.T, path, content string) (texts []text) {
	t.Helper()
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, content, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	add := func(pos token.Pos, words string) {
		texts = append(texts, text{positions.Position(pos).String(), words})
	}
	for _, group := range file.Comments {
		add(group.Pos(), strings.Join(strings.Fields(group.Text()), " "))
	}
	if strings.HasSuffix(path, "_test.go") {
		return texts
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if words, err := strconv.Unquote(literal.Value); err == nil && strings.Contains(words, " ") {
				add(literal.Pos(), words)
			}
		}
		return true
	})
	return texts
}

// longSentence is how many words nine of ten sentences of a document may have.
const longSentence = 25

var (
	sentenceEnd = regexp.MustCompile(`[.!?:](\s|$)`)
	listItem    = regexp.MustCompile(`(?m)^ *([-*]|\d+\.) +`)
)

// TestSentences bounds the length of sentences: of each document, one of ten may
// be longer.
func TestSentences(t *testing.T) {
	all := documents(t)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		lengths := sentences(all[path])
		if len(lengths) < 5 {
			continue
		}
		slices.Sort(lengths)
		if p90 := lengths[len(lengths)*9/10]; p90 > longSentence {
			t.Errorf("%s: one of ten sentences has more than %d words (90th percentile %d): split them", path, longSentence, p90)
		}
	}
}

// sentences returns how many words each sentence of a document has. Tables and
// code are left out; a list item ends a sentence.
func sentences(content string) (lengths []int) {
	content = listItem.ReplaceAllString(plain(content), "\n\n")
	content = inlineCode.ReplaceAllString(content, "x")
	for paragraph := range strings.SplitSeq(content, "\n\n") {
		paragraph = strings.TrimSpace(paragraph)
		if paragraph == "" || strings.HasPrefix(paragraph, "|") || strings.HasPrefix(paragraph, "#") {
			continue
		}
		for _, sentence := range sentenceEnd.Split(paragraph, -1) {
			if n := len(strings.Fields(sentence)); n > 0 {
				lengths = append(lengths, n)
			}
		}
	}
	return lengths
}
