package faults

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// Answer is what KEDA got for one call.
type Answer struct {
	Method     string // GetMetrics or IsActive
	Begin, End time.Time
	// Value is the metric, or 1 for true and 0 for false.
	Value int64
	// Status is gRPC's, "0" for a success.
	Status string
}

// Tap reads along on connections between KEDA and the scaler. KEDA is a separate
// process, and must not notice.
type Tap struct {
	mu      sync.Mutex
	answers []Answer
	err     error // of what could not be read
}

// Answers returns what KEDA got so far. It is an error if something of it could
// not be read.
func (t *Tap) Answers() ([]Answer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.answers), t.err
}

// Polls returns how many answers about the metric KEDA has got.
func (t *Tap) Polls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	polls := 0
	for _, a := range t.answers {
		if a.Method == "GetMetrics" {
			polls++
		}
	}
	return polls
}

// Connection returns what the bytes of one connection are to be written to.
func (t *Tap) Connection() (requests, answers io.Writer) {
	c := &tapped{tap: t, calls: map[uint32]*tappedCall{}}
	return newFrames(len(http2.ClientPreface), c.request, t.fail), newFrames(0, c.answer, t.fail)
}

func (t *Tap) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = fmt.Errorf("read what KEDA was answered: %w", err)
}

// tapped is one connection.
type tapped struct {
	tap   *Tap
	mu    sync.Mutex
	calls map[uint32]*tappedCall
}

type tappedCall struct {
	method string
	begin  time.Time
	body   []byte
	status string
}

func (c *tapped) request(frame http2.Frame) {
	if headers, ok := frame.(*http2.MetaHeadersFrame); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls[headers.StreamID] = &tappedCall{method: path.Base(headers.PseudoValue("path")), begin: time.Now()}
	}
}

func (c *tapped) answer(frame http2.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := frame.Header().StreamID
	call := c.calls[id]
	if call == nil {
		return
	}
	switch frame := frame.(type) {
	case *http2.DataFrame:
		call.body = append(call.body, frame.Data()...)
	case *http2.MetaHeadersFrame:
		for _, field := range frame.Fields {
			if field.Name == "grpc-status" {
				call.status = field.Value
			}
		}
		if frame.StreamEnded() {
			delete(c.calls, id)
			c.tap.add(call)
		}
	case *http2.RSTStreamFrame:
		delete(c.calls, id)
	}
}

func (t *Tap) add(call *tappedCall) {
	answer := Answer{Method: call.method, Begin: call.begin, End: time.Now(), Status: call.status}
	const prefix = 5 // of a message: a flag and its length
	var err error
	switch {
	case call.status != "0":
	case len(call.body) < prefix:
		err = fmt.Errorf("%s was answered with %d bytes", call.method, len(call.body))
	case call.method == "GetMetrics":
		var response externalscaler.GetMetricsResponse
		err = proto.Unmarshal(call.body[prefix:], &response)
		for _, value := range response.GetMetricValues() {
			answer.Value += int64(value.GetMetricValueFloat())
		}
	case call.method == "IsActive":
		var response externalscaler.IsActiveResponse
		err = proto.Unmarshal(call.body[prefix:], &response)
		if response.GetResult() {
			answer.Value = 1
		}
	default:
		return
	}
	if err != nil {
		t.fail(err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers = append(t.answers, answer)
}

// frames splits a stream of bytes into frames of HTTP/2.
type frames struct {
	skip    int // bytes before the first frame
	pending []byte
	whole   bytes.Buffer // of one frame, or of a header with its continuations
	framer  *http2.Framer
	handle  func(http2.Frame)
	fail    func(error)
	failed  bool
}

func newFrames(skip int, handle func(http2.Frame), fail func(error)) *frames {
	f := &frames{skip: skip, handle: handle, fail: fail}
	f.framer = http2.NewFramer(io.Discard, &f.whole)
	f.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return f
}

// Write handles the frames that are complete. It returns no error: the connection
// is to go on.
func (f *frames) Write(p []byte) (int, error) {
	const header = 9
	f.pending = append(f.pending, p...)
	skipped := min(f.skip, len(f.pending))
	f.pending, f.skip = f.pending[skipped:], f.skip-skipped
	for !f.failed && len(f.pending) >= header {
		length := header + int(f.pending[0])<<16 + int(f.pending[1])<<8 + int(f.pending[2])
		if len(f.pending) < length {
			break
		}
		kind, flags := http2.FrameType(f.pending[3]), http2.Flags(f.pending[4])
		f.whole.Write(f.pending[:length])
		f.pending = f.pending[length:]
		if (kind == http2.FrameHeaders || kind == http2.FrameContinuation) && !flags.Has(http2.FlagHeadersEndHeaders) {
			continue
		}
		frame, err := f.framer.ReadFrame()
		if err != nil {
			f.failed = true
			f.fail(err)
			break
		}
		f.handle(frame)
	}
	return len(p), nil
}
