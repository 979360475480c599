package main

import (
	"strings"
	"testing"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
)

func TestQuery(t *testing.T) {
	ado := adotest.Serve(t, adotest.Options{AllowUnmatched: true})
	ado.AddPool(adotest.Pool{Name: "linux"})
	for range 3 {
		if _, err := ado.Queue("linux", adotest.Job{}); err != nil {
			t.Fatal(err)
		}
	}
	p := serve(t, "ORG_URL="+ado.URL(), "ORG_PAT=adotest-pat")
	defer p.stop(t)
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--address", p.grpcAddr, "--pool", "linux"}, 0, "pool \"linux\": 3 (target 1, active: true, count: owned)\n"},
		{
			[]string{
				"--address", p.grpcAddr, "--scaled-job", "build", "--namespace", "ado", "--metadata", "poolName=linux",
				"--metadata", "organizationURL=" + ado.URL(), "--metadata", "capabilities=docker,java=17",
			}, 0, "ado/build: 3 (target 1, active: true, count: owned)\n",
		},
		{[]string{"--address", p.grpcAddr, "--scaled-job", "build", "--metadata", "poolNam=linux"}, 1, "InvalidArgument: "},
		{[]string{"--address", p.grpcAddr, "--metadata", "poolName"}, 1, "--metadata: \"poolName\" does not have the form KEY=VALUE"},
		{[]string{"--address", p.grpcAddr}, 1, "--pool, --metadata, --scaled-job: one is required"},
		{[]string{"--address", p.grpcAddr, "--pool", "none"}, 1, "NotFound: "},
		{[]string{"--address", p.grpcAddr, "--pool", "linux", "--cert-file", "query_test.go"}, 1, "--cert-file, --key-file: go together"},
		{[]string{"--address", p.grpcAddr, "--pool", "linux", "--ca-file", "none.pem"}, 1, "--ca-file: stat none.pem"},
		{[]string{"--address", "127.0.0.1:1", "--pool", "linux", "--timeout", "100ms"}, 1, "127.0.0.1:1: DeadlineExceeded"},
		{[]string{"--pool", "linux"}, 2, "--address"},
	} {
		out, log, exit := output(t, nil, append([]string{"query"}, tt.args...)...)
		if exit != tt.exit || !strings.Contains(out+log, tt.want) {
			t.Errorf("%v: exit %d, %s%s, want %d, %s", tt.args, exit, out, log, tt.exit, tt.want)
		}
	}
}
