package adoqueue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const (
	// apiVersion is known to Azure DevOps Services and to Server 2022.1.
	apiVersion = "7.1"
	// writeVersion is known to every Server from 2019 on.
	writeVersion = "5.0"
	// maxBody bounds an answer: 32 MiB are some 15,000 job requests.
	maxBody = 32 << 20
	// maxMessage bounds how much of a foreign text goes into an error.
	maxMessage = 512
)

// Options are what a Client may be given besides its organization and
// credential.
type Options struct {
	// HTTPClient sends the requests; nil means NewHTTPClient without a CA file.
	// It must not follow redirects.
	HTTPClient policy.Transporter
	// AllowHTTP lets the credential travel over plain http to other machines.
	AllowHTTP bool
	// Metrics counts the requests; nil counts nothing.
	Metrics *Metrics
}

// Client reads pools and job requests of one organization, and manages their
// agents. It is safe for concurrent use.
type Client struct {
	organization OrganizationURL
	pipeline     runtime.Pipeline
	throttle     *throttle
	metrics      *Metrics
	// unversioned is set once the server has refused our API version: an older
	// Server answers in the latest version that it knows if asked for none.
	unversioned atomic.Bool
}

// NewClient makes a client. It refuses a credential that would travel over
// plain http, unless to this machine.
func NewClient(organization OrganizationURL, credential Credential, options Options) (*Client, error) {
	if !organization.safe() && !options.AllowHTTP {
		return nil, fmt.Errorf("organization %s: a credential is not sent over plain http; use https, or allow http", organization)
	}
	if options.HTTPClient == nil {
		client, err := NewHTTPClient("")
		if err != nil {
			return nil, err
		}
		options.HTTPClient = client
	}
	c := &Client{organization: organization, throttle: &throttle{}, metrics: options.Metrics}
	c.pipeline = runtime.NewPipeline("adoqueue", "v1",
		// From the outside in: azcore tries again, then for each try the
		// throttle may refuse it, and the credential is added.
		runtime.PipelineOptions{
			PerRetry: []policy.Policy{c.throttle, credential.authorize()},
		},
		&policy.ClientOptions{
			Transport: options.HTTPClient,
			Telemetry: policy.TelemetryOptions{ApplicationID: "ado-agent-orchestrator"},
			Retry: policy.RetryOptions{
				MaxRetries: 2,
				RetryDelay: time.Second,
				// Not 429: the throttle knows how long to wait.
				StatusCodes: []int{
					http.StatusRequestTimeout, http.StatusBadGateway,
					http.StatusServiceUnavailable, http.StatusGatewayTimeout,
				},
			},
		})
	return c, nil
}

// once marks requests that are not tried again at once because their caller
// asks again anyway.
func once(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}

// call is one question to Azure DevOps.
type call struct {
	name      string // low-cardinality label of metrics
	operation string // for people
	method    string // "" is GET
	query     url.Values
	path      []string
	body      any    // sent as JSON, unless nil
	version   string // of the API, if another than apiVersion
	prelude   bool
}

// do asks and gives the body of a successful answer.
func (c *Client) do(ctx context.Context, q call) ([]byte, error) {
	versioned := !c.unversioned.Load()
	body, err := c.try(ctx, q)
	failure, ok := errors.AsType[*Error](err)
	if ok && failure.TypeKey == "VssVersionOutOfRangeException" && versioned {
		c.unversioned.Store(true)
		return c.try(ctx, q)
	}
	return body, err
}

func (c *Client) try(ctx context.Context, q call) ([]byte, error) {
	start := time.Now()
	request, err := c.request(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.operation, err)
	}
	response, err := c.pipeline.Do(request)
	if err != nil {
		if !errors.Is(err, ErrThrottled) { // else it was not sent
			c.metrics.observe(q.name, 0, time.Since(start))
		}
		return nil, unanswered(q, err)
	}
	defer response.Body.Close()
	body, err := readBody(response)
	c.metrics.observe(q.name, response.StatusCode, time.Since(start))
	if err != nil {
		return nil, &Error{
			Operation: q.operation, Status: response.StatusCode, ActivityID: activityID(response.Header),
			Hint: hintRetry, kind: ErrUnavailable, cause: err,
		}
	}
	if failure := failureOf(response, body); failure != nil {
		failure.Operation = q.operation
		if errors.Is(failure, ErrForbidden) && q.method != "" {
			failure.Hint = hintManage
		}
		return nil, failure
	}
	return body, nil
}

func (c *Client) request(ctx context.Context, q call) (*policy.Request, error) {
	request, err := runtime.NewRequest(ctx, cmp.Or(q.method, http.MethodGet), c.organization.endpoint(q.query, q.path...))
	if err != nil {
		return nil, err
	}
	if q.prelude {
		request.SetOperationValue(prelude{})
	}
	header := request.Raw().Header
	header.Set("Accept", c.accept(q))
	// Without this, a refused credential is answered with a sign-in page.
	header.Set("X-TFS-FedAuthRedirect", "Suppress")
	runtime.SkipBodyDownload(request) // it has no bound
	if q.body == nil {
		return request, nil
	}
	return request, runtime.MarshalAsJSON(request, q.body)
}

// accept names the version of the API. What writes has to name one, even to a
// Server that does not know ours.
func (c *Client) accept(q call) string {
	version := cmp.Or(q.version, apiVersion)
	switch {
	case !c.unversioned.Load():
	case q.method != "":
		version = writeVersion
	default:
		return "application/json"
	}
	return "application/json;api-version=" + version
}

// unanswered makes an error of a request that got no answer. One that the
// pipeline refused to send is an Error already.
func unanswered(q call, err error) error {
	if failure, ok := errors.AsType[*Error](err); ok {
		named := *failure
		named.Operation = q.operation
		return &named
	}
	// What is left of a url.Error names only method and address, which the
	// operation says better.
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return &Error{
		Operation: q.operation, Hint: "check the organization URL, the network and the proxy settings",
		kind: ErrUnavailable, cause: err,
	}
}

func readBody(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer is longer than %d MiB", maxBody>>20)
	}
	return body, nil
}

// failureOf gives the error that an answer is, or nil if it is a success.
func failureOf(response *http.Response, body []byte) *Error {
	status := response.StatusCode
	signIn := isHTML(response.Header, body)
	if status >= 200 && status < 300 && status != http.StatusNonAuthoritativeInfo && !signIn {
		return nil
	}
	failure := &Error{
		Status:     status,
		ActivityID: activityID(response.Header),
		RetryAfter: retryAfter(response.Header, time.Now()),
	}
	failure.Hint, failure.kind = kindOf(status)
	failure.TypeKey, failure.Message = decodeFailure(body)
	if failure.Message == "" {
		// It is percent-encoded, and sometimes the only word there is.
		text := response.Header.Get("X-TFS-ServiceError")
		if plain, err := url.PathUnescape(text); err == nil {
			text = plain
		}
		failure.Message = text
	}
	if signIn && status < 300 {
		failure.kind, failure.Hint = ErrUnauthorized, hintCredential
		failure.Message = "the answer is a web page, as for signing in"
	}
	failure.Message = oneLine(redact(failure.Message, response.Request))
	failure.ActivityID = redact(failure.ActivityID, response.Request)
	return failure
}

func isHTML(header http.Header, body []byte) bool {
	mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return mediaType == "text/html" || bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark)), []byte("<"))
}

func activityID(header http.Header) string {
	if id := header.Get("ActivityId"); id != "" {
		return oneLine(id)
	}
	return oneLine(header.Get("X-VSS-E2EID"))
}

// oneLine folds white space and cuts a foreign text to a bearable length.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
