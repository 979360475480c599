package adotest

import (
	"cmp"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// Fault scripts what happens to matching requests in place of, or on top of,
// the ordinary answer. Without Status and Body the ordinary answer is given,
// with Header added, after Delay, cut after CutAfter bytes.
type Fault struct {
	Operation string // one of the constants OpPools, OpAgents and so on; "": any
	Method    string // "": any
	PoolID    int    // 0: any
	Times     int    // how many requests it hits; 0: all until cleared

	Status      int // 0 with a Body: 200
	Header      http.Header
	Body        []byte
	ContentType string
	Delay       time.Duration   // before the answer
	Until       <-chan struct{} // ends the delay when it is closed
	CutAfter    int             // bytes of the body after which the connection breaks, 0: none
	Reset       bool            // break the connection without an answer
	// Repeat is how often Body is sent, one after the other; 0: once. With Gzip
	// an answer of few bytes becomes one of gigabytes.
	Repeat int
	Gzip   bool          // compress Body, whatever the client accepts
	Pace   time.Duration // pause after each KiB of the answer
}

// Inject adds a fault. Of several that match a request the oldest hits it.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (f *Fault) hits(c *call) bool {
	return (f.Operation == "" || f.Operation == c.entry.Operation) &&
		(f.Method == "" || f.Method == c.Method) &&
		(f.PoolID == 0 || f.PoolID == c.entry.PoolID)
}

// takeFault uses up one turn of the first fault that hits.
func (s *Server) takeFault(c *call) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.faults, func(f *Fault) bool { return f.hits(c) })
	if i < 0 {
		return Fault{}, false
	}
	f := *s.faults[i]
	if f.Times > 0 {
		s.faults[i].Times--
		if s.faults[i].Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
	}
	return f, true
}

// interfere applies a fault. It returns the writer to answer on, or that the
// fault was the answer.
func (s *Server) interfere(w http.ResponseWriter, c *call) (http.ResponseWriter, bool) {
	f, hit := s.takeFault(c)
	if !hit {
		return w, false
	}
	s.wait(c, f.Delay, f.Until)
	if f.Reset {
		reset(w)
	}
	w = &faultyWriter{ResponseWriter: w, fault: f, left: f.CutAfter, wait: func(d time.Duration) { s.wait(c, d, nil) }}
	switch {
	case f.Status == 0 && f.Body == nil:
		return w, false
	case f.Repeat > 0 || f.Gzip:
		f.stream(w, c)
	default:
		a := answer{status: f.Status, raw: f.Body, contentType: f.ContentType}
		a.write(w, c)
	}
	return w, true
}

// stream sends the body as often as the fault says, without holding all of it.
func (f *Fault) stream(w http.ResponseWriter, c *call) {
	h := w.Header()
	if f.ContentType != "" {
		h.Set("Content-Type", f.ContentType)
	}
	out := io.Writer(w)
	if f.Gzip {
		h.Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		defer zip.Close()
		out = zip
	}
	w.WriteHeader(cmp.Or(f.Status, http.StatusOK))
	for range max(f.Repeat, 1) {
		if _, err := out.Write(f.Body); err != nil || c.Context().Err() != nil {
			return
		}
	}
}

// wait ends early when enough is closed, or the client or the stand-in goes.
func (s *Server) wait(c *call, d time.Duration, enough <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-enough:
	case <-c.Context().Done():
	case <-s.closed:
	}
}

// reset makes the client see "connection reset by peer" where there is a
// connection, and an aborted exchange otherwise.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// faultyWriter adds the headers of a fault and breaks off where it says.
type faultyWriter struct {
	http.ResponseWriter
	fault Fault
	left  int
	wait  func(time.Duration)
}

func (w *faultyWriter) WriteHeader(status int) {
	for name, values := range w.fault.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if w.fault.CutAfter == 0 {
		return w.slowly(p)
	}
	_, _ = w.ResponseWriter.Write(p[:min(w.left, len(p))])
	w.left -= len(p)
	if w.left <= 0 {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return len(p), nil
}

// slowly writes with the pauses of the fault.
func (w *faultyWriter) slowly(p []byte) (n int, err error) {
	if w.fault.Pace == 0 {
		return w.ResponseWriter.Write(p)
	}
	for part := range slices.Chunk(p, 1<<10) {
		written, err := w.ResponseWriter.Write(part)
		n += written
		if err != nil {
			return n, err
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush() // in process there is nothing to flush
		w.wait(w.fault.Pace)
	}
	return n, nil
}
