// Command ado-agent is what runs in an agent's container: it puts Microsoft's
// agent into a pool of Azure DevOps, lets it run one pipeline job and takes it
// out again.
package main

import "os"

func main() {
	hideEnvironment()
	if os.Getpid() == 1 {
		os.Exit(supervise(os.Args))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}
