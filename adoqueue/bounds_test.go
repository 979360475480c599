package adoqueue

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/memtest"
)

// gzipped compresses n repetitions of unit between head and tail.
func gzipped(t testing.TB, head, unit, tail string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	const block = 10_000
	blockText := []byte(strings.Repeat(unit, block))
	_, _ = io.WriteString(w, head)
	for ; n >= block; n -= block {
		_, _ = w.Write(blockText)
	}
	_, _ = io.WriteString(w, strings.Repeat(unit, n)+tail)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func serveGzip(status int, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// TestGzipBombs answers with a small body that unpacks into a huge one, with
// every kind of status, on the retrying path too.
func TestGzipBombs(t *testing.T) {
	const times = 12_000_000
	for name, body := range map[string][]byte{
		"empty objects": gzipped(t, `{"value":[{}`, ",{}", `]}`, 10_000_000), // fits 32 MiB
		"nulls":         gzipped(t, `{"value":[null`, ",null", `]}`, 6_000_000),
		"one string":    gzipped(t, `{"value":[{"requestId":1,"jobId":"`, "aaaa", `"}]}`, times),
		"demands":       gzipped(t, `{"value":[{"requestId":1,"demands":["a"`, `,""`, `]}]}`, times),
		"agents":        gzipped(t, `{"value":[{"requestId":1,"matchedAgents":[{}`, `,{}`, `]}]}`, times),
		"unknown field": gzipped(t, `{"value":[],"other":[0`, ",0", `]}`, times),
		"white space":   gzipped(t, `{"value":[`, "    ", `]}`, times),
		"a message":     gzipped(t, `{"message":"`, "aaaa", `"}`, times),
		"nested":        gzipped(t, `{"value":`, "[", ``, times),
	} {
		statuses := []int{200}
		if name == "a message" || name == "empty objects" {
			statuses = []int{200, 203, 206, 302, 400, 401, 404, 429, 500, 503}
		}
		for _, status := range statuses {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				s := server(t, serveGzip(status, body))
				client := newClient(t, s.URL, PAT(secret))
				start := time.Now()
				size := memtest.Allocated(func() {
					if got, err := client.JobRequests(once(t.Context()), Pool{ID: 1}); err == nil || got != nil {
						t.Errorf("got %d requests, %v", len(got), err)
					}
				})
				if took := time.Since(start); size > 100<<20 || took > time.Minute {
					t.Errorf("%d MiB in %v for %d KiB", size>>20, took, len(body)>>10)
				}
			})
		}
	}
}

// TestEveryReaderIsBounded sends a bomb to each operation.
func TestEveryReaderIsBounded(t *testing.T) {
	list := gzipped(t, `{"value":[{"id":1,"name":"x","major":1}`, `,{"id":1,"name":"x"}`, `]}`, 2_000_000)
	object := gzipped(t, `{"id":1,"systemCapabilities":{"a":"b"`, `,"a":"b"`, `}}`, 5_000_000)
	for name, do := range map[string]func(*Client, context.Context) error{
		"agents":       func(c *Client, ctx context.Context) error { _, err := c.Agents(ctx, Pool{ID: 1}); return err },
		"agent":        func(c *Client, ctx context.Context) error { _, err := c.Agent(ctx, Pool{ID: 1}, 1); return err },
		"pool by name": func(c *Client, ctx context.Context) error { _, err := c.Pool(ctx, PoolRef{Name: "x"}); return err },
		"pool by id":   func(c *Client, ctx context.Context) error { _, err := c.Pool(ctx, PoolRef{ID: 1}); return err },
		"pools":        func(c *Client, ctx context.Context) error { _, err := c.ManagedPools(ctx); return err },
		"packages": func(c *Client, ctx context.Context) error {
			_, err := c.LatestPackage(ctx, AgentPackage, "linux-x64")
			return err
		},
		"parallel": func(c *Client, ctx context.Context) error { _, err := c.ParallelJobs(ctx); return err },
		"change":   func(c *Client, ctx context.Context) error { return c.SetAgentEnabled(ctx, Pool{ID: 1}, 1, true) },
	} {
		for kind, body := range map[string][]byte{"list": list, "object": object} {
			s := server(t, serveGzip(200, body))
			client := newClient(t, s.URL, PAT(secret))
			start := time.Now()
			var err error
			size := memtest.Allocated(func() { err = do(client, once(t.Context())) })
			if took := time.Since(start); size > 200<<20 || took > time.Minute || (err == nil) != (name == "change") {
				t.Errorf("%s, %s: %d MiB in %v, %v", name, kind, size>>20, took, err)
			}
		}
	}
}

// TestDecodingEndsWithTheCaller covers an answer that has arrived in full but
// takes longer to decode than its caller has time.
func TestDecodingEndsWithTheCaller(t *testing.T) {
	finished := `,{"requestId":1,"result":"failed","finishTime":"2026-01-05T08:00:00Z","x":"` + strings.Repeat("a", 4000) + `"}`
	s := server(t, serveGzip(200, gzipped(t, `{"value":[{"requestId":1}`, finished, `]}`, 100_000)))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(ctx), Pool{ID: 1})
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) || took > 2*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
}

func TestHalfAListIsAnError(t *testing.T) {
	for _, status := range []int{201, 202, 204, 205, 206, 226, 299} {
		s := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"value":[]}`)
		})
		got, err := newClient(t, s.URL, PAT(secret)).JobRequests(once(t.Context()), Pool{ID: 1})
		if !errors.Is(err, ErrUnavailable) || got != nil {
			t.Errorf("%d: got %v, %v, want an error", status, got, err)
		}
	}
}

func TestRequestListedTwiceCountsOnce(t *testing.T) {
	queued, running := base(nil), base(object{"receiveTime": receiveTime})
	for name, list := range map[string][]object{
		"copies":         {running, running, running},
		"as it moved on": {queued, running},
		"the other way":  {running, queued},
	} {
		got, err := listed(t, list)
		if err != nil || len(got) != 1 || got[0].State != Running {
			t.Errorf("%s: got %s, %v, want one that runs", name, describe(got), err)
		}
	}
	for _, list := range [][]object{{queued, done("failed")}, {done("failed"), queued}} {
		if got, err := listed(t, list); err != nil || len(got) != 0 {
			t.Errorf("got %s, %v, want none: it is finished", describe(got), err)
		}
	}
}

// TestPoolsTogetherAreBounded has many pools with many requests.
func TestPoolsTogetherAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *organizationFake, cache *Cache) {
		fake.more, fake.queued = `,{"id":8,"name":"Windows"}`, 1000
		mustSnapshot(t, cache)
		size := cache.kept[7].size()
		if size < 1000*200 || size > 1000*400 {
			t.Errorf("1,000 requests take %d bytes", size)
		}
		other := &requestList{shared: (&shared{}).next()}
		other.shared.text -= maxKept - size
		cache.kept[9] = other // another pool's
		if _, err := cache.Snapshot(t.Context(), PoolRef{ID: 8}, time.Second); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want %v", err, ErrUnavailable)
		}
		time.Sleep(time.Second)
		if mustSnapshot(t, cache).Err != nil {
			t.Error("a pool that fitted does not fit any more")
		}
	})
}

// manyRequests writes a list of n requests as Azure DevOps writes them, with
// agents that match.
func manyRequests(w io.Writer, n int) {
	agents := make([]string, 5)
	for i := range agents {
		agents[i] = fmt.Sprintf(`{"_links":{"self":{"href":"https://dev.azure.com/contoso/_apis/distributedtask/pools/44/agents/%[1]d"},`+
			`"web":{"href":"https://dev.azure.com/contoso/_settings/agentpools?view=jobs&poolId=44&agentId=%[1]d"}},`+
			`"id":%[1]d,"name":"agent-%[1]d","version":"4.255.0","enabled":true,"status":"offline","provisioningState":"Provisioned"}`, i)
	}
	matched := strings.Join(agents, ",")
	fmt.Fprintf(w, `{"count":%d,"value":[`, n)
	for i := range n {
		if i > 0 {
			_, _ = io.WriteString(w, ",")
		}
		fmt.Fprintf(w, `{"requestId":%[1]d,"queueTime":"2026-01-05T08:00:00.1266667Z",`+
			`"serviceOwner":"00025394-6065-48ca-87d9-7f5672854ef7","hostId":"11111111-1111-4111-8111-111111111111",`+
			`"scopeId":"22222222-2222-4222-8222-222222222222","planType":"Build","planId":"33333333-3333-4333-8333-%012[1]d",`+
			`"jobId":"44444444-4444-4444-8444-%012[1]d","demands":["Agent.Version -gtVersion 2.182.1","docker","size -equals %[2]d"],`+
			`"matchedAgents":[%[3]s],`+
			`"definition":{"_links":{"web":{"href":"https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_build/definition?definitionId=7"},`+
			`"self":{"href":"https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_apis/build/Definitions/7"}},"id":7,"name":"app - main"},`+
			`"owner":{"_links":{"web":{"href":"https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_build/results?buildId=501"},`+
			`"self":{"href":"https://dev.azure.com/contoso/22222222-2222-4222-8222-222222222222/_apis/build/Builds/501"}},"id":501,"name":"20260105.%[1]d"},`+
			`"data":{"ParallelismTag":"Private","IsScheduledKey":"False"},"poolId":44,`+
			`"orchestrationId":"33333333-3333-4333-8333-333333333333.build.__default","priority":0}`, i+1, i%10, matched)
	}
	_, _ = io.WriteString(w, "]}")
}

// raceEnabled reports whether the race detector runs, which needs several times
// the memory.
var raceEnabled bool

const (
	manyEnv  = "ADOQUEUE_TEST_MANY" // URL of a server for the process of TestManyRequests
	manySize = 100_000
	attacked = 16 // pools
)

// readMany is the process of TestManyRequests and TestAttackOnAllPools. It prints
// the most memory it ever had.
func readMany(url string) error {
	organization, err := ParseOrganizationURL(url + "/contoso")
	if err != nil {
		return err
	}
	client, err := NewClient(organization, PAT(secret), Options{})
	if err != nil {
		return err
	}
	cache := NewCache(client, CacheOptions{Timeout: time.Minute})
	defer cache.Close()
	if strings.HasSuffix(url, "/attack") {
		readAttacks(cache)
	} else if err := readAgain(cache); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println("peak:", strings.Fields(peak)[0])
	return nil
}

// readAgain reads the list a few times, as a scaler does.
func readAgain(cache *Cache) error {
	for range 3 {
		snapshot, err := cache.Snapshot(context.Background(), PoolRef{Name: "Linux"}, time.Nanosecond)
		if err != nil {
			return err
		}
		if n := len(snapshot.Requests); n != manySize {
			return fmt.Errorf("%d requests", n)
		}
	}
	return nil
}

// readAttacks polls many pools at once.
func readAttacks(cache *Cache) {
	var wg sync.WaitGroup
	for id := range attacked {
		wg.Go(func() {
			_, _ = cache.Snapshot(context.Background(), PoolRef{ID: id + 1}, time.Nanosecond)
		})
	}
	wg.Wait()
}

// needsProcess skips a test that measures a separate process where there is
// nothing to measure.
func needsProcess(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil || testing.Short() || raceEnabled {
		t.Skip("needs /proc, half a minute, and the memory of a plain build")
	}
}

// peakOf runs the test binary as a separate process against a server and
// returns its peak resident size.
func peakOf(t *testing.T, url string, env ...string) (mib int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), append(env, manyEnv+"="+url)...)
	start := time.Now()
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	rest, text, _ := strings.Cut(string(output), "peak: ")
	kib, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || rest != "" {
		t.Fatalf("%v: %s", err, output)
	}
	t.Logf("peak of %d MiB in %v", kib>>10, time.Since(start))
	return kib >> 10
}

// TestAttackOnAllPools has every pool answer with items as large as are read, all
// at once.
func TestAttackOnAllPools(t *testing.T) {
	needsProcess(t)
	pools := make([]string, attacked)
	for i := range pools {
		pools[i] = fmt.Sprintf(`{"id":%d,"name":"pool-%[1]d"}`, i+1)
	}
	bodies := [][]byte{
		gzipped(t, `{"value":[{"requestId":1,"jobId":"`, "aaaa", `"}]}`, 4<<20),
		gzipped(t, `{"value":[{"requestId":1,"matchedAgents":[{}`, `,{}`, `]}]}`, 2_600_000),
		gzipped(t, `{"value":[{"requestId":1,"demands":[{"name":"`, "abcdefgh", `"}]}]}`, 1<<20-100),
		gzipped(t, `{"value":[{"requestId":1,"x":[`, `[],`, `[]]}`, 2_600_000),
	}
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pools") {
			_, _ = io.WriteString(w, `{"value":[`+strings.Join(pools, ",")+`]}`)
			return
		}
		serveGzip(200, bodies[len(r.URL.Path)%2+2*(int(r.URL.Path[len(r.URL.Path)-len("1/jobrequests")])%2)])(w, r)
	})
	if mib := peakOf(t, s.URL+"/attack", "GOMEMLIMIT=200MiB"); mib > 150 {
		t.Errorf("peak of %d MiB, want at most 150", mib)
	}
}

// TestManyRequests reads 100,000 requests of one pool, 330 MB of JSON, in a
// separate process and checks its peak resident size.
func TestManyRequests(t *testing.T) {
	needsProcess(t)
	var list bytes.Buffer
	zip := gzip.NewWriter(&list)
	manyRequests(zip, manySize)
	_ = zip.Close()
	body := list.Bytes()
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pools") {
			_, _ = io.WriteString(w, `{"count":1,"value":[{"id":44,"name":"Linux"}]}`)
			return
		}
		serveGzip(200, body)(w, r)
	})
	if mib := peakOf(t, s.URL, "GOMEMLIMIT=off"); mib > 110 {
		t.Errorf("peak of %d MiB, want at most 110", mib)
	}
}
