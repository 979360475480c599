package adotest

import "testing"

func TestMeets(t *testing.T) {
	capabilities := map[string]string{
		"agent.os":      "Linux",
		"agent.version": "4.255.0",
		"gpu":           "",
		"image":         "ubuntu 22.04, large",
		"sdk":           "3.1.100-preview7",
		"junk":          "latest",
	}
	tests := []struct {
		demand string
		want   bool
	}{
		{"gpu", true},
		{"GPU", true},
		{"docker", false},
		{"Agent.OS -equals linux", true},
		{"Agent.OS -equals Windows_NT", false},
		{"image -equals UBUNTU 22.04, large", true},
		{"image -equals ubuntu", false},
		{"gpu -equals ", true},
		{"Agent.Version -gtVersion 4.255.0", true},
		{"Agent.Version -gtVersion 2.182.1", true},
		{"Agent.Version -gtVersion 4.255.1", false},
		{"Agent.Version -gtVersion 10.0", false},
		{"sdk -gtVersion 3.1.100", true},
		{"junk -gtVersion 0.0.1", false},
		{"Agent.OS -Equals Linux", false},
		{"Agent.OS -bigger 3", false},
		{"Agent.OS -equals", false},
		{"two words", false},
		{"", false},
	}
	for _, tt := range tests {
		if got := meets(capabilities, parseDemands([]string{tt.demand})); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.demand, got, tt.want)
		}
	}
	if !meets(capabilities, nil) || meets(capabilities, parseDemands([]string{"gpu", "docker"})) {
		t.Error("all demands have to be met, and none always are")
	}
}
