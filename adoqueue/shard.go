package adoqueue

import (
	"fmt"
	"strconv"
	"strings"
)

// maxShards bounds into how many shards a pool can be divided.
const maxShards = 64

// Shard is a fixed share of a pool's job requests: the Index-th of Count, from 1
// on. The zero value is all of them.
type Shard struct{ Index, Count int }

// ParseShard reads a shard such as 1/2.
func ParseShard(text string) (Shard, error) {
	index, count, ok := strings.Cut(text, "/")
	k, errK := strconv.Atoi(strings.TrimSpace(index))
	n, errN := strconv.Atoi(strings.TrimSpace(count))
	if !ok || errK != nil || errN != nil || n > maxShards || k < 1 || k > n {
		return Shard{}, fmt.Errorf("must be K/N, such as 1/2, with K from 1 to N and N up to %d", maxShards)
	}
	return Shard{Index: k, Count: n}, nil
}

// UnmarshalText reads a shard as ParseShard does; an empty text is all requests.
func (s *Shard) UnmarshalText(text []byte) (err error) {
	*s = Shard{}
	if len(text) > 0 {
		*s, err = ParseShard(string(text))
	}
	return err
}

// String is the shard as ParseShard reads it, "" if it is all requests.
func (s Shard) String() string {
	if s.All() {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Count)
}

// All reports whether the shard has all requests.
func (s Shard) All() bool { return s.Count <= 1 }

// Has reports whether a request belongs to the shard. It depends on the request's own
// id: that of its job is the same in all runs of a pipeline, and in all pipelines
// that have but one job without a name.
func (s Shard) Has(r *JobRequest) bool {
	return s.All() || mixed(r.ID)%uint64(s.Count) == uint64(s.Index-1) //nolint:gosec // both are positive
}

// mixed returns the bits of an id so that each depends on all of them: ids count
// up, perhaps in steps. It must stay the same in all versions, or clusters that
// differ would both serve a request, or neither would. The constants are those
// with which MurmurHash3 ends.
func mixed(id int64) uint64 {
	h := uint64(id) //nolint:gosec // nothing but its bits matter
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
