// Package contract_test holds our copy of KEDA's external scaler contract to the
// one that the pinned KEDA release was built from.
package contract_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/components"
)

func TestContractIsKEDAs(t *testing.T) {
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/kedacore/keda/v2@v"+components.LatestKEDA)
	output, err := download.Output()
	if err != nil {
		t.Fatal(err)
	}
	var keda struct{ Dir string }
	if err := json.Unmarshal(output, &keda); err != nil {
		t.Fatal(err)
	}
	theirs := compile(t, filepath.Join(keda.Dir, "pkg", "scalers", "externalscaler"))
	ours := compile(t, "../../proto/externalscaler")
	if len(theirs.GetService()) != 1 || len(theirs.GetService()[0].GetMethod()) != 5 {
		t.Fatalf("KEDA's contract has another shape than expected: %v", theirs)
	}
	// Where the Go code goes is not on the wire, nor is what is deprecated.
	for _, file := range []*descriptorpb.FileDescriptorProto{ours, theirs} {
		file.Options = nil
		for _, message := range file.GetMessageType() {
			for _, field := range message.GetField() {
				field.Options = nil
			}
		}
	}
	if !proto.Equal(ours, theirs) {
		t.Errorf("our contract is\n%v\nKEDA's is\n%v", ours, theirs)
	}
}

func compile(t *testing.T, dir string) *descriptorpb.FileDescriptorProto {
	t.Helper()
	const name = "externalscaler.proto"
	if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{dir}}}
	files, err := compiler.Compile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return protodesc.ToFileDescriptorProto(files[0])
}
