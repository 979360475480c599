package adotest

import (
	"fmt"
	"slices"
	"testing"
)

func TestPools(t *testing.T) {
	ado := Serve(t, Options{})
	ado.AddPool(Pool{Name: "Default"})
	ado.AddPool(Pool{Name: "Azure Pipelines", Hosted: true})
	ado.AddPool(Pool{Name: "machines", Deployment: true})
	ado.AddPool(Pool{Name: "scale set", Options: "elasticPool, singleUseAgents"})
	ado.AddPool(Pool{Name: "secret", Invisible: true})
	ado.AddPool(Pool{Name: "default"})

	tests := []struct {
		query string
		want  []int
	}{
		{"", []int{1, 2, 3, 4, 6}},
		{"?poolName=DEFAULT", []int{1, 6}},
		{"?poolName=Def", nil},
		{"?poolName=scale%20set", []int{4}},
		{"?poolname=secret", nil},
		{"?poolType=deployment", []int{3}},
		{"?poolType=automation&poolName=default", []int{1, 6}},
		{"?poolIds=2,%204,5,77", []int{2, 4}},
		{"?poolID=2", []int{1, 2, 3, 4, 6}}, // no such parameter
		{"?actionFilter=use", []int{1, 2, 3, 4, 6}},
	}
	for _, tt := range tests {
		var got []int
		for _, p := range get(t, ado, tasks+"pools"+tt.query).list(t) {
			got = append(got, int(p["id"].(float64)))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.query, got, tt.want)
		}
	}

	hosted := get(t, ado, tasks+"pools/2").object(t)
	elastic := get(t, ado, tasks+"pools/4").object(t)
	if hosted["isHosted"] != true || hosted["poolType"] != "automation" || hosted["options"] != "none" || hosted["autoSize"] != nil {
		t.Errorf("got %v", hosted)
	}
	if elastic["options"] != "elasticPool, singleUseAgents" || elastic["targetSize"] != nil {
		t.Errorf("got %v", elastic)
	}
	for _, id := range []int{5, 99} {
		for _, path := range []string{"", "/agents", "/jobrequests"} {
			get(t, ado, fmt.Sprintf("%spools/%d%s", tasks, id, path)).
				wantError(t, 404, "TaskAgentPoolNotFoundException", fmt.Sprintf("No agent pool found with identifier %d.", id))
		}
	}
}
