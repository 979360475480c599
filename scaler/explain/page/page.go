// Package page shows a Report to people: what is broken, in one sentence, and below
// it all that led to that. It is a plain HTML page that a small script keeps up to
// date; without scripts it is a static one.
package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/limit"
)

// securityPolicy allows what this package serves and nothing else, so that a name
// which got past the escaping could still do nothing.
const securityPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// reuseFor is how long a page is served again: many viewers cost as much as one.
const reuseFor = time.Second

// everything is asked for, since the pictures are about all requests of the last
// hour. This package bounds how many are shown.
const everything = 10_000

//go:embed page.html
var markup string

//go:embed page.css page.js icon.svg
var assets embed.FS

var layout = template.Must(template.New("page").Parse(markup))

// Reporter reports what is known at the moment.
type Reporter interface {
	Report(ctx context.Context, filter explain.Filter) explain.Report
}

// Options add to the page.
type Options struct {
	// Compare returns what runs side by side; nil leaves the comparison out.
	Compare func() []Contender
	// Turns are those of the Reporter, nil if it has none.
	Turns *limit.Turns
}

// Handler serves the page and the files that it consists of, at the root of a
// server or behind any prefix.
type Handler struct {
	reporter Reporter
	options  Options
	mux      *http.ServeMux
	version  string // changes with the files, so that an open page notices

	last atomic.Pointer[rendered]
}

// rendered is a page that was made for a query.
type rendered struct {
	query string
	at    time.Time
	body  []byte
}

// New returns a handler that shows what the reporter reports.
func New(reporter Reporter, options Options) *Handler {
	h := &Handler{reporter: reporter, options: options, mux: http.NewServeMux()}
	if h.options.Turns == nil {
		h.options.Turns = limit.NewTurns()
	}
	version := sha256.New()
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		content, err := assets.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded above
		}
		version.Write(content)
		h.mux.Handle("GET /"+name, asset(name, content))
	}
	h.version = hex.EncodeToString(version.Sum(nil)[:8])
	h.mux.HandleFunc("GET /{$}", h.page)
	return h
}

// ServeHTTP answers requests for the page and its files.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", securityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.mux.ServeHTTP(w, r)
}

// asset serves an embedded file, which browsers ask for again with its ETag.
func asset(name string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, path.Base(name), time.Time{}, bytes.NewReader(content))
	})
}

func (h *Handler) page(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	filter, err := filterOf(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := h.render(r.Context(), filter)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a reader that has left misses nothing
}

// render makes one page at a time, and returns the last one as long as it is new.
// Since others get it too, it is finished even if whoever asked leaves.
func (h *Handler) render(ctx context.Context, filter explain.Filter) ([]byte, error) {
	query := fmt.Sprintf("%+q", []string{filter.Pool, filter.Run, filter.ScaledJob, strconv.FormatInt(filter.Request, 10)})
	if body, ok := h.rendered(query); ok {
		return body, nil
	}
	done, err := h.options.Turns.Take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if body, ok := h.rendered(query); ok { // meanwhile
		return body, nil
	}
	report := h.reporter.Report(context.WithoutCancel(ctx), filter)
	view := viewOf(&report, filter)
	view.Version = h.version
	if h.options.Compare != nil {
		view.Contenders = contendersOf(h.options.Compare())
	}
	var body bytes.Buffer
	if err := layout.Execute(&body, view); err != nil {
		return nil, fmt.Errorf("render the page: %w", err)
	}
	last := &rendered{query: query, at: time.Now(), body: printable(body.Bytes())}
	h.last.Store(last)
	return last.body, nil
}

// rendered returns the last page if it is new and was made for this query.
func (h *Handler) rendered(query string) (body []byte, ok bool) {
	last := h.last.Load()
	if last == nil || last.query != query || time.Since(last.at) >= reuseFor {
		return nil, false
	}
	return last.body, true
}

// printable removes what could hide text, or turn it around, whichever field of a
// Report it came by: control characters and invisible marks.
func printable(body []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' || r < utf8.RuneSelf && r >= ' ' && r != 0x7f || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, body)
}

// filterOf reads what the page is to be about. Empty fields of its form say nothing.
func filterOf(query url.Values) (explain.Filter, error) {
	filter, err := explain.ParseFilter(query)
	filter.MaxRequests, filter.MaxDecisions, filter.MaxScaledJobs = everything, everything, everything
	return filter, err
}
