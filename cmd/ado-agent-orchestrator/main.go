// Command ado-agent-orchestrator starts agents for Azure DevOps Pipelines on demand:
// it reports to KEDA how many agents a pool's queued jobs need.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
