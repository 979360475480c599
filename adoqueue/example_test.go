package adoqueue_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

// A Cache answers any number of callers from one snapshot per pool.
func ExampleCache_Snapshot() {
	// A stand-in plays Azure DevOps, with one job in the queue. Leave HTTPClient out
	// for the real one.
	azure := adotest.New(adotest.Options{AllowUnmatched: true})
	azure.AddPool(adotest.Pool{Name: "linux"})
	if _, err := azure.Queue("linux", adotest.Job{Demands: []string{"docker"}}); err != nil {
		panic(err)
	}

	organization, err := adoqueue.ParseOrganizationURL("https://dev.azure.com/contoso")
	if err != nil {
		panic(err)
	}
	client, err := adoqueue.NewClient(organization, adoqueue.PAT("adotest-pat"), adoqueue.Options{
		HTTPClient: &http.Client{Transport: azure.Transport()},
	})
	if err != nil {
		panic(err)
	}
	cache := adoqueue.NewCache(client, adoqueue.CacheOptions{})
	defer cache.Close()

	ctx := context.Background()
	for range 3 { // only the first call sends a request
		snapshot, err := cache.Snapshot(ctx, adoqueue.PoolRef{Name: "linux"}, time.Minute)
		if err != nil {
			panic(err)
		}
		for _, request := range snapshot.Requests {
			fmt.Println(snapshot.Pool.Name, request.State == adoqueue.Queued, request.Demands[0])
		}
	}
	// Output:
	// linux true docker
	// linux true docker
	// linux true docker
}

// Demands have the meaning that they have in Azure DevOps.
func ExampleDemand_MetBy() {
	capabilities, err := adoqueue.ParseCapabilities("docker,java=17.0.2")
	if err != nil {
		panic(err)
	}
	for _, text := range []string{"docker", "Java -gtVersion 17", "java -equals 17", "gpu"} {
		fmt.Println(text, adoqueue.ParseDemand(text).MetBy(capabilities))
	}
	// Output:
	// docker true
	// Java -gtVersion 17 true
	// java -equals 17 false
	// gpu false
}
