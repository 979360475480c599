package adoqueue

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/sync/semaphore"
)

const (
	// maxLarge bounds how many answers with large items are decoded at once.
	maxLarge = 2
	// maxTries bounds how often the HTTP library itself sends or connects for
	// one request: it tries again when a server closes an idle connection, and
	// without an end when it says GOAWAY on each.
	maxTries = 3
	// maxExchange bounds the time of one try whose caller has set no deadline.
	maxExchange = 2 * time.Minute
	// maxBody bounds a successful answer once it is decompressed; it is decoded
	// as a stream. 100,000 job requests have some 350 MiB.
	maxBody = 512 << 20
	// maxTokenAnswer bounds the answer to a request that is not a client's own, such as
	// one for an access token, which is read as a whole.
	maxTokenAnswer = 1 << 20
	// maxCompressed bounds an answer before it is decompressed.
	maxCompressed = 64 << 20
	// maxFailure bounds the body of any other answer, which is read for its
	// message and by the retries to reuse the connection.
	maxFailure = 64 << 10
)

var errTooManyTries = fmt.Errorf("the connection was closed or refused %d times", maxTries)

// boundedTransport is the last link before the network. Below the SDK, it
// bounds what one request may cost: its tries, its time, and the size of its
// answer before and after decompression, whatever the status. The slot of a
// request in flight is free when its body is closed.
type boundedTransport struct {
	next    policy.Transporter
	slots   slots
	large   *semaphore.Weighted // of answers with large items
	metrics clientMetrics
}

// Bounded returns a transport that bounds what one request through next may cost,
// for requests beside those of a Client: the ones of an Entra credential. Their
// answers have at most 1 MiB.
func Bounded(next policy.Transporter) policy.Transporter {
	return tokenTransport{newBoundedTransport(next, clientMetrics{})}
}

// tokenTransport keeps the exchange of a Client's request away from the request for
// the token that it needs: they have the same context.
type tokenTransport struct{ bounded *boundedTransport }

func (t tokenTransport) Do(request *http.Request) (*http.Response, error) {
	own := &exchange{limit: maxTokenAnswer}
	return t.bounded.Do(request.WithContext(own.attach(request.Context())))
}

func newBoundedTransport(next policy.Transporter, metrics clientMetrics) *boundedTransport {
	return &boundedTransport{
		next: next, metrics: metrics,
		slots: newSlots(), large: semaphore.NewWeighted(maxLarge),
	}
}

// Do sends the request.
func (t *boundedTransport) Do(request *http.Request) (*http.Response, error) {
	exchange := exchangeOf(request.Context())
	exchange.authorization = request.Header.Get("Authorization")
	free, err := t.slots.acquire(request.Context())
	if err != nil {
		return nil, &Error{
			Message: "not sent: too many requests to this organization are in flight",
			Hint:    hintRetry, kind: ErrUnavailable, cause: err,
		}
	}
	ctx, cancel := context.WithTimeout(request.Context(), maxExchange)
	release := sync.OnceFunc(func() {
		cancel()
		free()
	})
	// An answer that comes together with the end of its time is closed by nobody.
	context.AfterFunc(ctx, release)
	tries := &tries{}
	ctx = tries.watch(ctx)
	request = request.Clone(ctx)
	// With our own header, the answer is decompressed by boundedBody and
	// not by net/http, which would not say how much came in.
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := t.next.Do(request)
	for range tries.failed(err) {
		t.metrics.count(exchange.operation, 0)
	}
	if err != nil {
		if errors.Is(context.Cause(ctx), errTooManyTries) {
			err = errTooManyTries // else it would look as if the caller had gone
		}
		release()
		return nil, err
	}
	t.metrics.count(exchange.operation, response.StatusCode)
	exchange.body = &boundedBody{
		ctx: ctx, source: response.Body, release: release, large: t.large,
		limit: exchange.limit, encoding: response.Header.Get("Content-Encoding"),
		whole: succeeded(request.Method, response.StatusCode),
	}
	response.Body = exchange.body
	return response, nil
}

// tries counts what the HTTP library does for one request.
type tries struct {
	connecting, connected atomic.Int32
	cancel                context.CancelCauseFunc
}

// watch returns a context for the request that ends after too many tries.
func (t *tries) watch(ctx context.Context) context.Context {
	ctx, t.cancel = context.WithCancelCause(ctx)
	count := func(n *atomic.Int32) {
		if n.Add(1) > maxTries {
			t.cancel(errTooManyTries)
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { count(&t.connecting) },
		// HTTP/2 tries again on a connection it has, without asking for one.
		GotConn: func(httptrace.GotConnInfo) { count(&t.connected) },
	})
}

// failed returns how many tries were made without an answer.
func (t *tries) failed(err error) int32 {
	made := max(1, min(t.connecting.Load(), maxTries), min(t.connected.Load(), maxTries))
	if err == nil {
		return made - 1 // the last was answered
	}
	return made
}

// exchange is what is known about a call on its way down to the network.
type exchange struct {
	operation     string // as in the metrics
	limit         int64  // of the answer
	authorization string // what was sent, so that it can be taken out of errors
	body          *boundedBody
}

type exchangeKey struct{}

func (x *exchange) attach(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{limit: maxTokenAnswer}
}

// boundedBody is the body of an answer, decompressed.
type boundedBody struct {
	ctx      context.Context // of the request, which the body belongs to
	source   io.ReadCloser
	limit    int64 // of the body, decompressed
	encoding string
	whole    bool // else only the beginning is of use
	release  func()
	large    *semaphore.Weighted

	turn  bool      // taken of large
	plain io.Reader // nil before the first Read
	err   error
}

// readError is a failure of reading an answer, as opposed to one of its
// content.
type readError struct{ cause error }

func (e *readError) Error() string { return "reading the answer: " + e.cause.Error() }
func (e *readError) Unwrap() error { return e.cause }

// Read ends with the request's context also where all of the body has arrived:
// what is left to do may still take long.
func (b *boundedBody) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil && b.err == nil {
		b.err = &readError{context.Cause(b.ctx)}
	}
	if b.plain == nil && b.err == nil {
		b.plain, b.err = b.open()
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.plain.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
		b.err = err
	}
	return n, err
}

func (b *boundedBody) open() (io.Reader, error) {
	var plain io.Reader
	switch b.encoding {
	case "", "identity":
		plain = b.source
	case "gzip":
		unpacked, err := gzip.NewReader(&bounded{source: b.source, left: maxCompressed, limit: maxCompressed})
		if err != nil {
			return nil, &readError{err}
		}
		plain = unpacked
	default:
		return nil, &readError{errors.New("its content encoding was not requested")}
	}
	if b.whole {
		return &bounded{source: plain, left: b.limit, limit: b.limit}, nil
	}
	return io.LimitReader(plain, maxFailure), nil
}

// takeTurn waits until only a few others decode large items.
func (b *boundedBody) takeTurn() error {
	if b.turn {
		return nil
	}
	if err := b.large.Acquire(b.ctx, 1); err != nil {
		return &readError{err}
	}
	b.turn = true
	return nil
}

// Close frees the request's slot, and its turn.
func (b *boundedBody) Close() error {
	defer b.release()
	if b.turn {
		b.turn = false
		defer b.large.Release(1)
	}
	return b.source.Close()
}

// bounded fails once limit bytes have been read and there are more.
type bounded struct {
	source      io.Reader
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("it is longer than %d MiB", b.limit>>20)
	}
	n, err := b.source.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, fmt.Errorf("it is longer than %d MiB", b.limit>>20)
	}
	return n, err
}

// isPage reports whether a body begins as a web page does, whatever its type
// says.
func isPage(start []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(start, byteOrderMark)), []byte("<"))
}
