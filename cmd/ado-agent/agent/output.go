package agent

import (
	"io"
	"os"
	"sync"
	"time"
)

// output is what programs of the agent print to. It outlasts each of them, as an
// update does that a listener leaves behind.
type output struct {
	out, err *os.File // what the programs get
	ends     []*os.File
	flushed  sync.WaitGroup
}

func newOutput(out, failed *lines) (*output, error) {
	o := &output{}
	var err error
	if o.out, err = o.pipe(out); err != nil {
		return nil, err
	}
	if o.err, err = o.pipe(failed); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *output) pipe(to *lines) (*os.File, error) {
	from, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	o.ends = append(o.ends, from)
	o.flushed.Go(func() {
		_, _ = io.Copy(to, from) // lines.Write never fails, and close ends it
		to.flush()
	})
	return end, nil
}

// close returns once all has been passed on, or after a while: what the programs
// started may hold on to their output.
func (o *output) close() {
	for _, end := range []*os.File{o.out, o.err} {
		if end != nil {
			_ = end.Close() // nothing is buffered
		}
	}
	timer := time.AfterFunc(quietTime, func() {
		for _, from := range o.ends {
			_ = from.Close()
		}
	})
	o.flushed.Wait()
	timer.Stop()
	for _, from := range o.ends {
		_ = from.Close()
	}
}
