package attack

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The methods that attacks call.
const (
	isActive       = "/externalscaler.ExternalScaler/IsActive"
	streamIsActive = "/externalscaler.ExternalScaler/StreamIsActive"
)

// Conn is an HTTP/2 connection of which the caller decides about every frame.
type Conn struct {
	net     net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	last    uint32
}

// Open connects to the scaler's gRPC port.
func (t Target) Open(ctx context.Context) (*Conn, error) {
	conn, err := t.Dial(ctx, t.GRPC)
	if err != nil {
		return nil, err
	}
	c := &Conn{net: conn, framer: http2.NewFramer(conn, conn), last: 1}
	c.encoder = hpack.NewEncoder(&c.block)
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	if _, err = io.WriteString(conn, http2.ClientPreface); err == nil {
		err = c.framer.WriteSettings()
	}
	if err != nil {
		return nil, c.fail(err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error { return c.net.Close() }

func (c *Conn) fail(err error) error {
	_ = c.net.Close()
	return err
}

// Discard reads what the scaler sends until the connection ends.
func (c *Conn) Discard() { _, _ = io.Copy(io.Discard, c.net) }

// Call opens a call without sending its message. Headers come in pairs.
func (c *Conn) Call(method string, headers ...string) (stream uint32, err error) {
	c.block.Reset()
	all := append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "scaler",
		"content-type", "application/grpc", "te", "trailers",
	}, headers...)
	for i := 0; i < len(all); i += 2 {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}); err != nil {
			return 0, err
		}
	}
	c.last += 2
	return c.last, c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.last, BlockFragment: c.block.Bytes(), EndHeaders: true})
}

// Message sends the beginning of a message of the given size; all of it ends the
// call's side.
func (c *Conn) Message(stream uint32, size int, begin []byte) error {
	frame := make([]byte, 5, 5+len(begin))
	binary.BigEndian.PutUint32(frame[1:], uint32(size)) //nolint:gosec // sizes of tests
	frame = append(frame, begin...)
	for len(frame) > 16<<10 {
		if err := c.framer.WriteData(stream, false, frame[:16<<10]); err != nil {
			return err
		}
		frame = frame[16<<10:]
	}
	return c.framer.WriteData(stream, len(begin) == size, frame)
}

// Cancel resets a stream.
func (c *Conn) Cancel(stream uint32) error {
	return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
}
