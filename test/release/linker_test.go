package release_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/ado-agent-orchestrator/ado-agent-orchestrator/"

// TestLinkerVariables requires that each variable that the linker sets exists: the
// linker ignores others without a message.
func TestLinkerVariables(t *testing.T) {
	set := regexp.MustCompile(`-X[ =]'?([\w./-]+)\.(\w+)=`)
	found := map[string]bool{}
	for path, text := range buildFiles(t) {
		for _, match := range set.FindAllStringSubmatch(text, -1) {
			found[path] = true
			if !isVariable(t, match[1], match[2]) {
				t.Errorf("%s: there is no variable %s of type string in package %s", path, match[2], match[1])
			}
		}
	}
	for _, path := range []string{".ci/release", "Dockerfile", "linux/Dockerfile", "linux/Dockerfile.windows"} {
		if !found[path] {
			t.Errorf("%s does not set the version", path)
		}
	}
}

// buildFiles returns the Dockerfiles, and all files of CI, by path.
func buildFiles(t *testing.T) map[string]string {
	t.Helper()
	root := os.DirFS("../..")
	texts := map[string]string{}
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inCI := strings.HasPrefix(path, ".ci/") || strings.HasPrefix(path, ".github/workflows/")
		if inCI || strings.Contains(entry.Name(), "Dockerfile") || strings.HasSuffix(path, ".sh") {
			content, err := fs.ReadFile(root, path)
			texts[path] = string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// isVariable reports whether a package of the main module declares the variable as
// a string, which is all that the linker can set.
func isVariable(t *testing.T, pkg, name string) bool {
	t.Helper()
	folder, inModule := strings.CutPrefix(pkg, module)
	if !inModule {
		return false
	}
	paths, err := filepath.Glob("../../" + folder + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if declaresString(declaration, name) {
				return true
			}
		}
	}
	return false
}

func declaresString(declaration ast.Decl, name string) bool {
	group, ok := declaration.(*ast.GenDecl)
	if !ok || group.Tok != token.VAR {
		return false
	}
	for _, spec := range group.Specs {
		value := spec.(*ast.ValueSpec)
		kind, _ := value.Type.(*ast.Ident)
		if value.Names[0].Name == name && kind != nil && kind.Name == "string" && value.Values == nil {
			return true
		}
	}
	return false
}
