package adoqueue

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync"
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
)

// Options are the optional settings of a Client.
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
	credential   Credential
	pipeline     runtime.Pipeline
	throttle     *throttle
	metrics      clientMetrics
	// unversioned is set once the server has refused our API version: an older
	// Server answers in the latest version that it knows if none is named.
	unversioned atomic.Bool
}

// NewClient makes a client. It refuses a credential that would travel over
// plain http, unless to this machine.
func NewClient(organization OrganizationURL, credential Credential, options Options) (*Client, error) {
	if err := organization.CheckTransport(options.AllowHTTP); err != nil {
		return nil, err
	}
	if options.HTTPClient == nil {
		client, err := NewHTTPClient("")
		if err != nil {
			return nil, err
		}
		options.HTTPClient = client
	}
	c := &Client{organization: organization, credential: credential, metrics: options.Metrics.of(organization)}
	c.throttle = &throttle{delayed: c.metrics.delayed}
	c.pipeline = runtime.NewPipeline("adoqueue", "v1",
		// From the outside in: azcore tries again, then for each try the
		// throttle may refuse it, and the credential is added.
		runtime.PipelineOptions{
			PerRetry: []policy.Policy{c.throttle, credential.authorize()},
		},
		&policy.ClientOptions{
			Transport: newBoundedTransport(options.HTTPClient, c.metrics),
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

// CredentialExpires returns when the credential expires, zero if that is unknown: it
// is known of certificates.
func (c *Client) CredentialExpires() time.Time { return expiryOf(c.credential) }

// once marks requests that are not retried because their caller polls.
func once(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}

// call is one request to Azure DevOps.
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

// do sends the request and decodes a successful answer with decode, which reads
// it as a stream; nil is for calls whose answer says nothing new.
func (c *Client) do(ctx context.Context, q call, decode func(io.Reader) error) error {
	versioned := !c.unversioned.Load()
	err := c.try(ctx, q, decode)
	failure, ok := errors.AsType[*Error](err)
	if ok && failure.TypeKey == "VssVersionOutOfRangeException" && versioned {
		c.unversioned.Store(true)
		return c.try(ctx, q, decode)
	}
	return err
}

func (c *Client) try(ctx context.Context, q call, decode func(io.Reader) error) error {
	start := time.Now()
	exchange := &exchange{operation: q.name, limit: maxBody}
	request, err := c.request(exchange.attach(ctx), q)
	if err != nil {
		return exchange.failure(q, err)
	}
	response, err := c.pipeline.Do(request)
	if err != nil {
		if _, refused := errors.AsType[*Error](err); !refused { // else it was not sent
			c.metrics.observe(q.name, time.Since(start))
		}
		return exchange.failure(q, unanswered(err))
	}
	defer response.Body.Close()
	buffered := readers.Get().(*bufio.Reader)
	defer readers.Put(buffered)
	buffered.Reset(response.Body)
	err = read(q, response, &answer{buffered, exchange.body}, decode)
	c.metrics.observe(q.name, time.Since(start))
	return exchange.failure(q, err)
}

// readers are used again: most answers are shorter than their buffers.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readSize) }}

// answer is the body of an answer that has been looked into.
type answer struct {
	*bufio.Reader
	bounded *boundedBody
}

func (a *answer) takeTurn() error { return a.bounded.takeTurn() }

// read decodes an answer, or returns the error that it is.
func read(q call, response *http.Response, body *answer, decode func(io.Reader) error) error {
	if failure := failureOf(q, response, body.Reader); failure != nil {
		return failure
	}
	if decode == nil {
		return nil
	}
	err := decode(body)
	if err == nil {
		return nil
	}
	failure, ok := errors.AsType[*Error](err)
	if !ok {
		failure = undecodable(err)
	}
	failure.Status, failure.ActivityID = response.StatusCode, activityID(response.Header)
	return failure
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
	runtime.SkipBodyDownload(request) // it is decoded as a stream
	if q.body == nil {
		return request, nil
	}
	return request, runtime.MarshalAsJSON(request, q.body)
}

// accept returns the Accept header, which names the version of the API. A write
// has to name one, even to a Server that does not know ours.
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
