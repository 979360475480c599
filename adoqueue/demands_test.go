package adoqueue

import (
	"fmt"
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

// TestSystemCapabilities covers what every agent has without saying so.
func TestSystemCapabilities(t *testing.T) {
	arm := SystemDefaults{Architecture: "arm64"}
	windows := SystemDefaults{OS: "windows"}
	for _, tt := range []struct {
		capabilities string
		system       SystemDefaults
		demand       string
		want         bool
	}{
		{"docker", SystemDefaults{}, "Agent.Version -gtVersion 99.0.0", true},
		{"docker", SystemDefaults{}, "agent.version", true},
		{"docker", SystemDefaults{}, "Agent.Version -equals 2.144.0", false}, // nobody knows it
		{"docker", SystemDefaults{}, "Agent.Version -bigger 3", false},
		{"docker", SystemDefaults{}, "Agent.Versions", false},
		{"docker,Agent.Version=4.255.0", SystemDefaults{}, "Agent.Version -equals 2.144.0", false},
		{"docker,Agent.Version=4.255.0", SystemDefaults{}, "Agent.Version -equals 4.255.0", true},
		{"docker,Agent.Version=4.255.0", SystemDefaults{}, "Agent.Version -gtVersion 4.100.0", true},
		{"docker,Agent.Version=4.255.0", SystemDefaults{}, "Agent.Version -gtVersion 4.256.0", false},
		{"Agent.Version", SystemDefaults{}, "Agent.Version -gtVersion 4.256.0", true}, // without a value it states nothing

		{"", SystemDefaults{}, "Agent.OS", true},
		{"", SystemDefaults{}, "Agent.OS -equals linux", true},
		{"", SystemDefaults{}, "agent.os -equals Windows_NT", false},
		{"", SystemDefaults{OS: "linux"}, "Agent.OS -equals Linux", true},
		{"", windows, "Agent.OS -equals Windows_NT", true},
		{"", windows, "Agent.OS -equals Linux", false},
		{"Agent.OS=Linux", windows, "Agent.OS -equals Linux", true},
		{"", SystemDefaults{OS: "darwin"}, "Agent.OS -equals Darwin", true},
		{"", SystemDefaults{OS: "plan9"}, "Agent.OS -equals plan9", true},

		{"", SystemDefaults{}, "Agent.OSArchitecture -equals X64", true},
		{"", SystemDefaults{}, "Agent.OSArchitecture -equals ARM64", false},
		{"", arm, "Agent.OSArchitecture -equals ARM64", true},
		{"", arm, "Agent.OSArchitecture -equals X64", false},
		{"Agent.OSArchitecture=X64", arm, "Agent.OSArchitecture -equals X64", true},

		{"", SystemDefaults{}, "Agent.Name", true},
		{"", SystemDefaults{}, "Agent.Name -equals static-vm-01", false},
		{"Agent.Name=static-vm-01", SystemDefaults{}, "Agent.Name -equals STATIC-vm-01", true},
		{"", SystemDefaults{}, "Agent.ComputerName", true},
		{"", SystemDefaults{}, "Agent.ComputerName -equals build-7", false},
		{"", SystemDefaults{}, "Agent.HomeDirectory", true},
		{"", SystemDefaults{}, "Agent.HomeDirectory -equals /azp", false},
		{"", SystemDefaults{}, "Agent.OSVersion", true},
		{"", SystemDefaults{}, "Agent.OSVersion -gtVersion 1", false},
		{"", SystemDefaults{}, "Agent.Something", false},
	} {
		stated, err := ParseCapabilities(tt.capabilities)
		if err != nil {
			t.Fatal(err)
		}
		before := stated.String()
		capabilities := stated.WithSystem(tt.system)
		if got := ParseDemand(tt.demand).MetBy(capabilities); got != tt.want {
			t.Errorf("%q met by %q on %+v: got %v, want %v", tt.demand, tt.capabilities, tt.system, got, tt.want)
		}
		if after := stated.String(); after != before {
			t.Errorf("the stated capabilities became %s", after)
		}
	}
	var none Capabilities
	if !ParseDemand("Agent.OS -equals Linux").MetBy(none) || none.WithSystem(arm)["agent.osarchitecture"] != "ARM64" {
		t.Error("capabilities of nil are not completed")
	}
}

func TestUnmetIfNamed(t *testing.T) {
	ours := func(name string) bool { return strings.HasPrefix(name, "build-") }
	demands := []Demand{
		ParseDemand("Agent.Name -equals build-x7k2p"), ParseDemand("agent.computername -equals build-x7k2p"),
		ParseDemand("Agent.Name -equals static-vm-01"), ParseDemand("docker -equals build-x7k2p"),
	}
	got := fmt.Sprint(Capabilities{}.UnmetIfNamed(demands, ours))
	if want := "[Agent.Name -equals static-vm-01 docker -equals build-x7k2p]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := len(Capabilities{}.Unmet(demands)); got != 4 {
		t.Errorf("%d unmet without names, want all 4", got)
	}
	stated := Capabilities{"agent.name": "static-vm-01"}
	if got := fmt.Sprint(stated.UnmetIfNamed(demands[:1], ours)); got != "[Agent.Name -equals build-x7k2p]" {
		t.Errorf("a stated name is compared: got %s", got)
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
		{list: "a b,=x,c,C", errs: []string{`"a b" holds a space`, `"=x" has no name`, `duplicate name "c"`}},
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
