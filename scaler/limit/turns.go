package limit

import (
	"context"
	"time"
)

// maxRest bounds the pause after a turn.
const maxRest = time.Second

// Turns lets one piece of work be done at a time, and pauses after each for as long as
// it took, up to maxRest: whatever callers ask for, work of up to maxRest takes no more
// than half of one core.
type Turns struct {
	turn chan time.Time // holds when the next may begin, while nobody works
}

// NewTurns returns Turns of which the first is free.
func NewTurns() *Turns {
	t := &Turns{turn: make(chan time.Time, 1)}
	t.turn <- time.Time{}
	return t
}

// Take waits for a turn, which done ends. Callers get theirs in the order in which they
// came. The error is that of ctx.
func (t *Turns) Take(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var next time.Time
	select {
	case next = <-t.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if rest := time.Until(next); rest > 0 {
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			t.turn <- next
			return nil, ctx.Err()
		}
	}
	began := time.Now()
	return func() {
		now := time.Now()
		t.turn <- now.Add(min(now.Sub(began), maxRest))
	}, nil
}
