package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sigs.k8s.io/yaml"

	externalscaler "github.com/ado-agent-orchestrator/ado-agent-orchestrator/proto/externalscaler"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/explain"
)

// checks return what is wrong with a printed command, by its program.
var checks = map[string]func(t *testing.T, p printed) string{
	"ado-agent-orchestrator": func(t *testing.T, p printed) string { return runPrinted(t, p.env, p.words[1:]) },
	"go":                     checkGo,
	"docker":                 checkDocker,
	"helm":                   checkHelm,
	"kubectl":                checkKubectl,
	"grpcurl":                checkGRPCurl,
	"curl":                   checkCurl,
	".ci/run":                func(_ *testing.T, p printed) string { return script("run", append(p.words[1:], "help")...) },
	".ci/release":            func(_ *testing.T, p printed) string { return script("release", "check", p.words[2]) },
	".ci/fuzz":               func(_ *testing.T, p printed) string { return script("fuzz", append(p.words[1:], "NoSuchTarget")...) },
	// Other people's programs, with nothing of ours in their arguments but what
	// stands in the commands around them.
	"git":    func(*testing.T, printed) string { return "" },
	"cd":     func(*testing.T, printed) string { return "" },
	"az":     checkAz,
	"cosign": checkCosign,
	"sha256sum": func(_ *testing.T, p printed) string {
		return inFile(".ci/release", p.words[len(p.words)-1])
	},
}

// script runs a script of CI, which needs bash; without bash it only has to be there.
func script(name string, args ...string) string {
	if _, err := exec.LookPath("bash"); err != nil {
		return exists(filepath.Join(".ci", name))
	}
	command := exec.Command(filepath.Join(root, ".ci", name), args...)
	if output, err := command.CombinedOutput(); err != nil {
		return string(output)
	}
	return ""
}

func inFile(path, text string) string {
	content, err := os.ReadFile(filepath.Join(root, path))
	switch {
	case err != nil:
		return err.Error()
	case !strings.Contains(string(content), text):
		return path + " does not have " + text
	}
	return ""
}

func exists(path string) string {
	if _, err := os.Stat(filepath.Join(root, path)); err != nil {
		return err.Error()
	}
	return ""
}

// checkGo finds the packages, tests and flags that a go command names.
func checkGo(t *testing.T, p printed) string {
	module := "."
	if folder := p.flag("-C"); folder != nil {
		module = folder[0]
	}
	switch {
	case slices.Contains(p.words, "generate"):
		return ""
	case slices.Contains(p.words, "install"):
		if last := p.words[len(p.words)-1]; !strings.Contains(last, "@") {
			return "installs no version"
		}
		return ""
	}
	var packages []string
	for i, word := range p.words {
		if strings.HasPrefix(word, "./") {
			packages = append(packages, strings.TrimSuffix(strings.TrimSuffix(word, "..."), "/"))
			if slices.Contains(p.words, "run") {
				if word == "./cmd/ado-agent-orchestrator" {
					return runPrinted(t, p.env, p.words[i+1:])
				}
				break
			}
		}
	}
	var all strings.Builder
	for _, folder := range packages {
		if problem := exists(filepath.Join(module, folder)); problem != "" {
			return problem
		}
		all.WriteString(sourcesOf(t, filepath.Join(root, module, folder)))
	}
	sources := all.String()
	for _, pattern := range p.flag("-run") {
		if pattern != "^$" && !slices.ContainsFunc(testsIn(sources), regexp.MustCompile(pattern).MatchString) {
			return "no test matches " + pattern
		}
	}
	return unknownFlag(p, sources)
}

// goFlags are those of go test and go run.
var goFlags = []string{"-C", "-count", "-run", "-bench", "-race", "-short", "-timeout", "-v", "-benchtime"}

// unknownFlag returns a flag that neither go nor a source defines.
func unknownFlag(p printed, sources string) string {
	for _, word := range p.words {
		name, _, _ := strings.Cut(word, "=")
		if strings.HasPrefix(word, "-") && !slices.Contains(goFlags, name) && !strings.Contains(sources, `"`+strings.TrimLeft(name, "-")+`"`) {
			return "nothing defines the flag " + name
		}
	}
	return ""
}

func sourcesOf(t *testing.T, folder string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
}

func testsIn(source string) (names []string) {
	for _, match := range regexp.MustCompile(`func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(source, -1) {
		names = append(names, match[1])
	}
	return names
}

// checkDocker finds the files, stages, arguments and settings that a docker
// command names. .ci/images builds and runs both images.
func checkDocker(t *testing.T, p printed) string {
	switch p.words[1] {
	case "buildx":
		return ""
	case "build":
		file := "Dockerfile"
		if named := p.flag("-f", "--file"); named != nil {
			file = named[0]
		}
		for _, stage := range p.flag("--target") {
			if problem := inFile(file, " AS "+stage+"\n"); problem != "" {
				return problem
			}
		}
		for _, argument := range p.flag("--build-arg") {
			name, _, _ := strings.Cut(argument, "=")
			if problem := inFile(file, name); problem != "" {
				return problem
			}
		}
		return exists(file)
	case "run":
		env := map[string]string{}
		for _, variable := range p.flag("--env") {
			name, value, _ := strings.Cut(variable, "=")
			env[name] = value
			if strings.HasPrefix(name, "AZP_") {
				if problem := inFile("linux/README.md", "| `"+name+"` |"); problem != "" {
					return problem
				}
			}
		}
		image := slices.IndexFunc(p.words, func(word string) bool { return strings.HasPrefix(word, "registry.example.com/") })
		if strings.HasPrefix(p.words[image], "registry.example.com/agent:") {
			return ""
		}
		return runPrinted(t, env, p.words[image+1:])
	}
	return "no check knows docker " + p.words[1]
}

// checkHelm finds the values that a helm command sets. A test of the chart renders
// the README's installation and runs it.
func checkHelm(t *testing.T, p printed) string {
	if slices.Contains(p.words, "keda") && p.words[1] == "install" {
		return ""
	}
	values := map[string]any{}
	content, err := os.ReadFile(root + "/deploy/helm/ado-agent-orchestrator/values.yaml")
	if err == nil {
		err = yaml.Unmarshal(content, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range p.flag("--set", "--set-json", "--set-string") {
		path, _, _ := strings.Cut(set, "=")
		if problem := unknownValue(values, path); problem != "" {
			return problem
		}
	}
	for _, word := range p.words {
		if strings.HasPrefix(word, "oci://") && word != "oci://ghcr.io/ado-agent-orchestrator/charts/ado-agent-orchestrator" {
			return "the chart is not published there"
		}
		if strings.HasPrefix(word, "deploy/") {
			return exists(filepath.Join(word, "Chart.yaml"))
		}
	}
	return ""
}

// ofPools are the keys of an item of agentPools besides those of agents.
var ofPools = []string{"pool", "name", "organizationURL", "paused"}

// unknownValue returns what is wrong with the path of a chart's value.
func unknownValue(values map[string]any, path string) string {
	keys := strings.Split(strings.ReplaceAll(path, "[0]", ""), ".")
	if keys[0] == "agentPools" && len(keys) > 1 {
		if slices.Contains(ofPools, keys[1]) {
			return ""
		}
		keys[0] = "agents"
	}
	var value any = values
	for _, key := range keys {
		below, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		if len(below) == 0 {
			return ""
		}
		if value, ok = below[key]; !ok {
			return "the chart has no value " + path
		}
	}
	return ""
}

// checkKubectl compares names with those that the documents create.
func checkKubectl(t *testing.T, p printed) string {
	for _, namespace := range p.flag("--namespace") {
		if !slices.Contains([]string{"ado", "keda", "ado-agent-orchestrator"}, namespace) {
			return "no document creates the namespace " + namespace
		}
	}
	if rest := p.after("--"); rest != nil {
		if !slices.Contains(p.words, "deployment/ado-agent-orchestrator") || rest[0] != "ado-agent-orchestrator" {
			return "runs an unknown program"
		}
		return runPrinted(t, p.env, rest[1:])
	}
	for _, file := range p.flag("--filename", "-f") {
		if problem := exists(file); problem != "" {
			return problem
		}
	}
	for _, word := range p.words[1:] {
		switch word {
		case "create", "apply", "describe", "get", "logs", "delete", "rollout", "port-forward":
			return ""
		}
	}
	return "no check knows this command of kubectl"
}

// checkGRPCurl decodes the request.
func checkGRPCurl(_ *testing.T, p printed) string {
	last := p.words[len(p.words)-1]
	if last == "list" {
		return ""
	}
	service, method, _ := strings.Cut(last, "/")
	described := externalscaler.File_externalscaler_externalscaler_proto.Services().Get(0)
	if service != string(described.FullName()) {
		return "there is no service " + service
	}
	if described.Methods().ByName(protoreflect.Name(method)) == nil {
		return "there is no method " + method
	}
	for _, data := range p.flag("-d") {
		if err := protojson.Unmarshal([]byte(data), &externalscaler.GetMetricsRequest{}); err != nil {
			return err.Error()
		}
	}
	return ""
}

// checkCurl finds the path among those that the program serves.
func checkCurl(_ *testing.T, p printed) string {
	address, err := url.Parse(p.words[len(p.words)-1])
	if err != nil {
		return err.Error()
	}
	served := []string{"/", "/metrics", "/healthz", "/readyz", explain.Path}
	if address.Host != "localhost:8080" || !slices.Contains(served, address.Path) {
		return "the program does not serve that"
	}
	return ""
}

// azCommands are the commands of Azure's that documents print, with the flags that
// Azure's reference has for them.
var azCommands = map[string][]string{
	"az aks update":      {"--resource-group", "--name", "--enable-keda", "--enable-oidc-issuer", "--enable-workload-identity"},
	"az aks show":        {"--resource-group", "--name", "--query", "--output"},
	"az identity create": {"--resource-group", "--name"},
	"az identity federated-credential create": {"--resource-group", "--identity-name", "--name", "--subject", "--issuer", "--audiences"},
}

func checkAz(_ *testing.T, p printed) string {
	flags := slices.IndexFunc(p.words, func(word string) bool { return strings.HasPrefix(word, "-") })
	name := strings.Join(p.words[:max(flags, 0)], " ")
	known, ok := azCommands[name]
	if !ok {
		return "look up " + name + " in Azure's reference"
	}
	for _, word := range p.words[flags:] {
		if strings.HasPrefix(word, "-") && !slices.Contains(known, word) {
			return name + " has no flag " + word
		}
	}
	return ""
}

// checkCosign compares the identity with the workflow that signs.
func checkCosign(_ *testing.T, p printed) string {
	for _, identity := range p.flag("--certificate-identity-regexp") {
		pattern, err := regexp.Compile(identity)
		if err != nil {
			return err.Error()
		}
		if !pattern.MatchString("https://github.com/ado-agent-orchestrator/ado-agent-orchestrator/.github/workflows/release.yml@refs/tags/v1.2.3") {
			return "the identity does not match the workflow"
		}
	}
	return exists(".github/workflows/release.yml")
}
