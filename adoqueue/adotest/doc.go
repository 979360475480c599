// Package adotest is a stand-in of the part of Azure DevOps' REST API that has
// to do with agent pools: pools, agents, job requests, sessions and messages of
// agents. It is for tests, for the demo and for end-to-end runs, and imports
// nothing of the product, so that each checks the other.
//
// A test in the same process:
//
//	ado := adotest.Serve(t, adotest.Options{})
//	pool := ado.AddPool(adotest.Pool{Name: "linux"})
//	_, err := ado.AddAgent("linux", adotest.Agent{Name: "placeholder", Offline: true})
//	id, err := ado.Queue("linux", adotest.Job{Demands: []string{"Agent.OS -equals linux"}})
//	// ask ado.URL() with the personal access token "adotest-pat"
//	requests := ado.Count(adotest.OpJobRequests, pool)
//
// Without sockets, for a testing/synctest bubble: make the stand-in with [New]
// inside the bubble and use [Server.Transport].
//
// # Who runs the jobs
//
// Nobody, by default: a test moves requests on with [Server.Assign],
// [Server.Receive] and [Server.Finish]. With Options.AutoAssign the stand-in
// assigns queued requests to agents that are online, enabled, idle and matching.
// Agents come in two kinds. Those of [Server.AddAgent] are played by the
// stand-in: with Options.ReceiveDelay they receive requests, and they finish
// those whose Job has a Duration. Others are processes that register, open a
// session and poll for messages, such as the agent package that the packages
// endpoint names: a tar.gz with config.sh, run.sh and env.sh, which take the
// flags of Microsoft's and need bash 5 and curl.
//
// # Control API
//
// A process that serves the stand-in can be driven from others on the same
// machine, by [Control] or by hand. There is no credential; clients that are not
// on the loopback interface are refused. Bodies and answers are JSON, durations
// are text such as "1.5s", errors are {"error": "..."} with a status of 4xx.
//
//	GET    /_control/state
//	GET    /_control/calls
//	POST   /_control/pools                        {"name":"linux"}
//	POST   /_control/jobs                         {"pool":"linux","count":3,"demands":["gpu"],"duration":"5s"}
//	POST   /_control/requests/{id}/assign         {"agent":"agent-1"}
//	POST   /_control/requests/{id}/finish         {"result":"failed"}
//	POST   /_control/requests/{id}/{step}         receive, cancel, abandon, redispatch, retry
//	POST   /_control/agents                       {"pool":"linux","name":"placeholder","offline":true}
//	PATCH  /_control/pools/{pool}/agents/{agent}  {"online":false,"enabled":true,"capabilities":{"gpu":"1"}}
//	DELETE /_control/pools/{pool}/agents/{agent}
//	POST   /_control/tokens                       {"token":"x","scope":"read"} or {"token":"x","state":"revoked"}
//	POST   /_control/faults                       {"operation":"jobrequests","times":2,"status":429,"header":{"Retry-After":["3"]}}
//	DELETE /_control/faults
//
// # Where it follows what
//
// Shapes and texts are those of recorded traffic and of Microsoft's swagger and
// typed clients. Where nothing is known, the choice is explained in the comment of
// the code that makes it.
package adotest
