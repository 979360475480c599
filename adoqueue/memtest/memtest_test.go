package memtest

import "testing"

type failures int

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { *f++ }

var sink []byte

func TestWithin(t *testing.T) {
	var f failures
	Within(&f, 1<<20, 4, func() { sink = make([]byte, 4<<20) })
	if f != 0 {
		t.Error("fails within the bound")
	}
	Within(&f, 1<<20, 4, func() { sink = make([]byte, 7<<20) })
	if f != 1 {
		t.Error("does not fail beyond the bound")
	}
}
