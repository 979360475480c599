package adotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
)

const htmlType = "text/html; charset=utf-8"

// answer is what an endpoint says: body is rendered as JSON, raw is verbatim.
type answer struct {
	status      int // 0: 200
	header      http.Header
	body        any
	raw         []byte
	contentType string // of raw
}

// ok answers 200 with a body.
func ok(body any) *answer { return &answer{body: body} }

// list answers with the envelope of all lists.
func list[T any](values []T) *answer {
	if values == nil {
		values = []T{}
	}
	return ok(struct {
		Count int `json:"count"`
		Value []T `json:"value"`
	}{len(values), values})
}

// serviceError is the body of every error in JSON; the names are those of
// recorded traffic.
type serviceError struct {
	ID             string  `json:"$id"`
	InnerException *string `json:"innerException"`
	Message        string  `json:"message"`
	TypeName       string  `json:"typeName"`
	TypeKey        string  `json:"typeKey"`
	ErrorCode      int     `json:"errorCode"`
	EventID        int     `json:"eventId"`
}

func errorBody(typeKey, message string) serviceError {
	const namespace = "Microsoft.TeamFoundation.DistributedTask.WebApi"
	return serviceError{
		ID:       "1",
		Message:  message,
		TypeName: namespace + "." + typeKey + ", " + namespace,
		TypeKey:  typeKey,
		EventID:  3000,
	}
}

// Error is a refusal by the stand-in's rules, with Azure DevOps' text where one
// is known. The REST API answers it with its status.
type Error struct {
	Status  int // HTTP status
	TypeKey string
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(status int, typeKey, format string, args ...any) *Error {
	return &Error{Status: status, TypeKey: typeKey, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) answer() *answer {
	return &answer{status: e.Status, body: errorBody(e.TypeKey, e.Message)}
}

// noController is what Azure DevOps says of a path without a resource: text,
// not JSON.
func noController(c *call) *answer {
	text := fmt.Sprintf("The controller for path '%s' was not found or does not implement IController.", c.path)
	return &answer{status: http.StatusNotFound, raw: []byte(text), contentType: "text/plain; charset=utf-8"}
}

// write sends an answer with the headers of recorded traffic: no ETag, nothing
// that allows caching, and the version in the content type.
func (a *answer) write(w http.ResponseWriter, c *call) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("ActivityId", guid("activity", c.number))
	h.Set("X-TFS-ProcessId", guid("process", 1))
	h.Set("X-TFS-Session", c.session())
	h.Set("X-VSS-E2EID", guid("e2e", c.number))
	h.Set("X-VSS-SenderDeploymentId", guid("deployment", 1))
	h.Set("X-Cache", "CONFIG_NOCACHE")
	maps.Copy(h, a.header)
	payload, contentType := a.raw, a.contentType
	if a.body != nil {
		payload = encode(a.body)
		contentType = "application/json; charset=utf-8"
		if c.version != "" {
			contentType += "; api-version=" + c.version
		}
	}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(payload)))
	}
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, _ = w.Write(payload) //nolint:gosec // clients are no browsers, and one that went away has its reasons
}

// encode renders JSON as .NET does, without escaping HTML.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("adotest: " + err.Error()) // our own types
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
