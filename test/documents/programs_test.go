package documents_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	helm "helm.sh/helm/v4/pkg/cmd"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

// TestMain is kubectl or Helm if the program was started by such a name: both are
// linked into the test, which is faster than to build them on their own.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err) // exits
		}
	case "helm":
		os.Exit(runHelm())
	default:
		os.Exit(m.Run())
	}
}

func runHelm() int {
	kube.ManagedFieldsManager = "helm"
	command, err := helm.NewRootCmd(os.Stdout, os.Args[1:], helm.SetupLogging)
	if err == nil {
		err = command.Execute()
	}
	if exit, ok := errors.AsType[helm.CommandError](err); ok {
		return exit.ExitCode
	}
	if err != nil {
		return 1
	}
	return 0
}
