// Command ado-agent-orchestrator gives Azure DevOps Pipelines agents on demand:
// it tells KEDA how many agents a pool's queued jobs need.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
