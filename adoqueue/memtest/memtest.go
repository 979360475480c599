// Package memtest measures in tests what readers of foreign input allocate. It
// counts what the whole process does, so nothing else may run beside it.
package memtest

import "runtime/metrics"

// TB is the part of testing.TB that [Within] needs.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// fixed is what may be allocated however short the input is: buffers, tables and
// what the runtime counts late.
const fixed = 1 << 20

// Allocated returns how many bytes are allocated by do, be they freed or not.
func Allocated(do func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	do()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// Within fails if do allocates more than a MiB and perByte for each byte of input.
func Within(tb TB, input, perByte int, do func()) {
	tb.Helper()
	limit := uint64(fixed + perByte*input) //nolint:gosec // lengths are not negative
	if got := Allocated(do); got > limit {
		tb.Errorf("%d bytes were allocated for %d bytes of input, want at most %d", got, input, limit)
	}
}
