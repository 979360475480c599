package explain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Path is where the JSON of a Report is served.
const Path = "/status.json"

// maxBound is the most that a caller may ask for of each bound.
const maxBound = maxRecords

// ServeHTTP answers with the JSON of a Report about what the query asks for.
func (x *Explainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	filter, err := ParseFilter(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, err := x.marshal(r.Context(), filter)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) //nolint:gosec // JSON with its type, not HTML; a reader that has left misses nothing
}

// marshal makes one answer at a time.
func (x *Explainer) marshal(ctx context.Context, f Filter) ([]byte, error) {
	done, err := x.turns.Take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return json.Marshal(x.Report(ctx, f))
}

// The keys of a query.
const (
	keyPool      = "pool"
	keyRun       = "run"
	keyRequest   = "request"
	keyScaledJob = "scaledjob"
	keyLimit     = "limit"
)

// ParseFilter reads a Filter from a query. A key that is unknown is an error: it
// would be thought to have an effect.
func ParseFilter(query url.Values) (Filter, error) {
	f := Filter{Pool: query.Get(keyPool), Run: query.Get(keyRun), ScaledJob: query.Get(keyScaledJob)}
	var problems []error
	for key := range query {
		switch key {
		case keyPool, keyRun, keyRequest, keyScaledJob, keyLimit:
		default:
			problems = append(problems, fmt.Errorf("%q is unknown; use %s, %s, %s, %s or %s", key, keyPool, keyRun, keyRequest, keyScaledJob, keyLimit))
		}
	}
	if text := query.Get(keyRequest); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id <= 0 {
			problems = append(problems, fmt.Errorf("%s must be the id of a job request, not %q", keyRequest, text))
		}
		f.Request = id
	}
	if text := query.Get(keyLimit); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxBound {
			problems = append(problems, fmt.Errorf("%s must be a number from 1 to %d, not %q", keyLimit, maxBound, text))
		}
		f.MaxRequests, f.MaxDecisions, f.MaxScaledJobs = limit, limit, limit
	}
	return f, errors.Join(problems...)
}

// Query returns the query that ParseFilter reads.
func (f Filter) Query() url.Values {
	query := url.Values{}
	for key, value := range map[string]string{keyPool: f.Pool, keyRun: f.Run, keyScaledJob: f.ScaledJob} {
		if value != "" {
			query.Set(key, value)
		}
	}
	if f.Request != 0 {
		query.Set(keyRequest, strconv.FormatInt(f.Request, 10))
	}
	if f.MaxRequests != 0 {
		query.Set(keyLimit, strconv.Itoa(f.MaxRequests))
	}
	return query
}
