package adoqueue

import (
	"math"
	"testing"
)

// TestShardIsFixed has values that must never change: two clusters with different
// versions would serve some requests both and others not at all.
func TestShardIsFixed(t *testing.T) {
	counts := [4]int{2, 3, 7, 64}
	for id, want := range map[int64][4]int{
		0:             {1, 1, 1, 1},
		1:             {1, 3, 1, 45},
		2:             {2, 1, 6, 40},
		3:             {1, 3, 3, 15},
		1000:          {2, 1, 6, 2},
		123456789:     {1, 3, 2, 7},
		math.MaxInt64: {1, 2, 4, 43},
	} {
		var got [4]int
		for i, count := range counts {
			for index := 1; index <= count; index++ {
				if !(Shard{index, count}).Has(&JobRequest{ID: id, JobID: "12f1170f-54f2-53f3-20dd-22fc7dff55f9"}) {
					continue
				}
				if got[i] != 0 {
					t.Errorf("request %d is in the shards %d and %d of %d", id, got[i], index, count)
				}
				got[i] = index
			}
		}
		if got != want {
			t.Errorf("request %d: got the shards %v of %v, want %v", id, got, counts, want)
		}
	}
}

// TestShardsAreEven divides requests whose ids count up in steps, as in a pool
// that gets every third request or so of an organization.
func TestShardsAreEven(t *testing.T) {
	const requests = 64_000
	for _, count := range []int{2, 3, 7, 16, 64} {
		for _, step := range []int64{1, 2, 3, 10, 64} {
			shares := make([]int, count)
			for i := range int64(requests) {
				for k := range shares {
					if (Shard{k + 1, count}).Has(&JobRequest{ID: 1_000_000 + i*step}) {
						shares[k]++
					}
				}
			}
			mean := float64(requests) / float64(count)
			for k, n := range shares {
				if off := math.Abs(float64(n)-mean) / math.Sqrt(mean); off > 5 {
					t.Errorf("steps of %d: shard %d/%d has %d of %d, %.1f standard deviations off", step, k+1, count, n, requests, off)
				}
			}
		}
	}
}

func TestParseShard(t *testing.T) {
	for text, want := range map[string]Shard{"1/2": {1, 2}, "2 / 2": {2, 2}, "1/1": {1, 1}, "64/64": {64, 64}} {
		if got, err := ParseShard(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "1/", "/2", "0/2", "3/2", "-1/2", "1/65", "1/2/3", "a/b", "1/0", "99999999999999999999/2"} {
		if got, err := ParseShard(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
	if all := (Shard{}); !all.Has(&JobRequest{ID: 1}) || all.String() != "" || (Shard{1, 2}).String() != "1/2" {
		t.Error("the zero value is not all requests")
	}
}
