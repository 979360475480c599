package adoqueue

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestDemandMetBy(t *testing.T) {
	capabilities, err := ParseCapabilities("docker, Agent.OS=Linux, java=17.0.2-beta, gpu=yes, image=ubuntu 22.04, odd=abc, short=17")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		demand string
		want   bool
	}{
		{"docker", true},
		{"DOCKER", true},
		{"maven", false},
		{"gpu", true}, // any value will do
		{"Agent.OS -equals linux", true},
		{"agent.os -equals Windows_NT", false},
		{"agent.os   -equals   LINUX ", true},
		{"image -equals Ubuntu 22.04", true},
		{"image -equals ubuntu 22.04, large", false},
		{"java -gtVersion 11", true},
		{"java -gtVersion 17.0.2", true}, // it means "at least"
		{"java -gtVersion 17.0.3", false},
		{"java -gtVersion 17.0.2.0", true},
		{"short -gtVersion 11", true},
		{"odd -gtVersion 1.0", false},
		{"java -gtVersion high", false},
		{"Agent.Version -gtVersion 99.0.0", true},
		{"agent.version", true},
		{"Agent.Versions", false},
		{"java -bigger 3", false},
		{"java -Equals 17.0.2-beta", false}, // operators do not ignore case
		{"java 17", false},
		{"java -equals", false},
		{"", false},
	} {
		if got := ParseDemand(tt.demand).MetBy(capabilities); got != tt.want {
			t.Errorf("%q met by %s: got %v, want %v", tt.demand, capabilities, got, tt.want)
		}
	}
}

func TestParseDemandKeepsValue(t *testing.T) {
	got := ParseDemand(` ImageOverride -equals ubuntu 22.04, large $(x) `)
	want := Demand{Name: "ImageOverride", Operator: Equals, Value: "ubuntu 22.04, large $(x)"}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Demand{})); diff != "" {
		t.Error(diff)
	}
	if got.String() != "ImageOverride -equals ubuntu 22.04, large $(x)" {
		t.Errorf("String() = %q", got)
	}
}

func TestParseCapabilities(t *testing.T) {
	for _, tt := range []struct {
		list string
		want Capabilities
		errs []string
	}{
		{list: "", want: Capabilities{}},
		{list: " , ", errs: []string{`item " " has no name`}},
		{list: "docker", want: Capabilities{"docker": ""}},
		{list: " Docker , java = 17 ,args=a=b", want: Capabilities{"docker": "", "java": "17", "args": "a=b"}},
		{list: "a b,=x,c,C", errs: []string{`"a b" holds a space`, `"=x" has no name`, `"c" stands there twice`}},
	} {
		got, err := ParseCapabilities(tt.list)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.list, diff)
		}
		if (err != nil) != (len(tt.errs) > 0) {
			t.Errorf("%q: error %v", tt.list, err)
		}
		for _, part := range tt.errs {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: error %q lacks %q", tt.list, err, part)
			}
		}
	}
}

func TestUnmet(t *testing.T) {
	capabilities := Capabilities{"docker": ""}
	demands := []Demand{ParseDemand("docker"), ParseDemand("gpu"), ParseDemand("Agent.Version -gtVersion 2.1")}
	unmet := capabilities.Unmet(demands)
	if len(unmet) != 1 || unmet[0].String() != "gpu" {
		t.Errorf("unmet: %v, want gpu", unmet)
	}
}

func FuzzParseDemand(f *testing.F) {
	for _, seed := range []string{"docker", "java -gtVersion 11", "a -equals b, c", "-equals x", "x -", "\xff -equals \xff"} {
		f.Add(seed, "docker,java=17")
	}
	f.Fuzz(func(t *testing.T, text, list string) {
		d := ParseDemand(text)
		if again := ParseDemand(d.String()); again != d {
			t.Errorf("%q parses as %+v, its text as %+v", text, d, again)
		}
		if capabilities, err := ParseCapabilities(list); err == nil {
			again, err := ParseCapabilities(capabilities.String())
			if err != nil || !cmp.Equal(again, capabilities) {
				t.Errorf("%q parses as %v, its text as %v (%v)", list, capabilities, again, err)
			}
			if d.Operator == Unknown && d.MetBy(capabilities) && !strings.EqualFold(d.Name, agentVersion) {
				t.Errorf("%q is met although its operator is unknown", text)
			}
		}
	})
}
