package adoqueue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// This file reads lists as a stream: what is in memory at any time is one item,
// however long the list is.

const (
	// maxItem bounds one item of a list, and an answer that is one object. A job
	// request that names 10,000 matching agents has 4 MiB.
	maxItem = 8 << 20
	// maxCommas bounds the parts of an item. The same 10,000 agents have some
	// 200,000 commas; a list of {} would become far larger in memory.
	maxCommas = 400_000
	// smallItem is the size up to which any number of answers is decoded at once.
	smallItem = 1 << 20
	// maxItems bounds a list. 100,000 job requests are known to fit into 256 MiB.
	maxItems = 1 << 17
	// maxToken bounds the white space between items, which the decoder looks
	// through again after each read.
	maxToken = 1 << 20
	readSize = 64 << 10
	// maxName bounds names that are kept. Azure DevOps allows fewer characters.
	maxName = 1 << 10
)

var (
	byteOrderMark = []byte("\xef\xbb\xbf")
	comma         = []byte(",")

	errNoList = errors.New("the answer holds no list")
)

// decodeList reads {"count":n,"value":[...]} or a bare list and calls add for
// each item, up to the first that it refuses. An answer without a list, with
// fewer items than it counts, or without an end is an error: an error must
// never look like an empty queue.
func decodeList[T any](body io.Reader, add func(*T) error) error {
	s := newStream(body)
	token, err := s.token()
	if err != nil {
		return err
	}
	list := itemList[T]{stream: s, add: add}
	switch token {
	case json.Delim('['):
		err = list.items()
	case json.Delim('{'):
		err = list.envelope()
	default:
		err = errNoList
	}
	if err != nil {
		return err
	}
	return s.end()
}

// decodeObject reads an answer that is one object, or null.
func decodeObject(body io.Reader, into any) error {
	s := newStream(body)
	if err := s.value(into); err != nil {
		return err
	}
	return s.end()
}

// itemList is a list on its way in.
type itemList[T any] struct {
	stream *stream
	add    func(*T) error
	read   int
	found  bool
}

// envelope reads what follows the opening brace of {"count":n,"value":[...]}.
func (l *itemList[T]) envelope() error {
	count := 0
	for l.stream.more() {
		key, err := l.stream.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		switch {
		case strings.EqualFold(name, "value"):
			err = l.value()
		case strings.EqualFold(name, "count"):
			err = l.stream.value(&count)
		default:
			err = l.stream.value(&skipped{})
		}
		if err != nil {
			return err
		}
	}
	if _, err := l.stream.token(); err != nil { // the closing brace
		return err
	}
	if !l.found {
		return errNoList
	}
	if l.read < count {
		return fmt.Errorf("the answer holds %d of %d items", l.read, count)
	}
	return nil
}

func (l *itemList[T]) value() error {
	if l.found {
		return errors.New("the answer holds two lists")
	}
	token, err := l.stream.token()
	if err != nil {
		return err
	}
	if token != json.Delim('[') {
		return errNoList
	}
	return l.items()
}

// items reads what follows the opening bracket of a list.
func (l *itemList[T]) items() error {
	l.found = true
	var item, empty T // one for all: add keeps nothing of it
	for l.stream.more() {
		if l.read == maxItems {
			return fmt.Errorf("the list is longer than %d items", maxItems)
		}
		l.read++
		item = empty
		err := l.stream.value(&item)
		if err == nil {
			err = l.add(&item)
		}
		if err != nil {
			return fmt.Errorf("item %d: %w", l.read, err)
		}
	}
	_, err := l.stream.token()
	return err
}

// skipped is a JSON value that nobody reads.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// stream is a JSON decoder that reads no more than maxItem bytes for one value:
// the decoder itself keeps a whole value in memory, however long it is.
type stream struct {
	decoder *json.Decoder
	source  *rationed
}

func newStream(body io.Reader) *stream {
	buffered := bufio.NewReaderSize(body, len(byteOrderMark)) // which longer reads pass by
	if start, _ := buffered.Peek(len(byteOrderMark)); bytes.Equal(start, byteOrderMark) {
		_, _ = buffered.Discard(len(byteOrderMark)) // they are in the buffer
	}
	source := &rationed{source: buffered}
	if shared, ok := body.(turnTaker); ok {
		source.turns = shared
	}
	return &stream{decoder: json.NewDecoder(source), source: source}
}

// more reports whether the list or object that is being read goes on.
func (s *stream) more() bool {
	s.source.allow(maxToken)
	return s.decoder.More()
}

func (s *stream) token() (json.Token, error) {
	s.source.allow(maxToken)
	token, err := s.decoder.Token()
	return token, cutShort(err)
}

func (s *stream) value(into any) error {
	s.source.allow(maxItem)
	return cutShort(s.decoder.Decode(into))
}

// end checks that nothing follows but white space.
func (s *stream) end() error {
	s.source.allow(maxToken)
	_, err := s.decoder.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("the answer goes on after its end")
	default:
		return err
	}
}

// cutShort names the end of an answer that has none.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the answer ends in its middle")
	}
	return err
}

// turnTaker is a body that waits for its turn before an item of it takes much
// memory.
type turnTaker interface{ takeTurn() error }

// rationed reads from source as much as is allowed for one value.
type rationed struct {
	source     io.Reader
	used, most int
	commas     int
	turns      turnTaker // nil: no need to wait
}

func (r *rationed) allow(most int) { r.used, r.most, r.commas = 0, most, 0 }

func (r *rationed) Read(p []byte) (int, error) {
	if r.used >= r.most {
		return 0, fmt.Errorf("an item of it is longer than %d MiB", maxItem>>20)
	}
	if r.used > smallItem && r.turns != nil {
		if err := r.turns.takeTurn(); err != nil {
			return 0, err
		}
		r.turns = nil
	}
	n, err := r.source.Read(p[:min(len(p), r.most-r.used)])
	r.used += n
	if r.commas += bytes.Count(p[:n], comma); r.commas > maxCommas {
		return n, fmt.Errorf("an item of it has more than %d parts", maxCommas)
	}
	return n, err
}
