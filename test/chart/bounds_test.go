package chart_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// durations are the values that become durations of the program, by their variables.
var durations = map[string]string{
	"POLLING_DELAY":   "settings.pollingDelay",
	"STALE_FOR":       "settings.staleFor",
	"REQUEST_TIMEOUT": "settings.requestTimeout",
	"ACCEPTABLE_WAIT": "settings.acceptableWait",
	"OFFLINE_AFTER":   "housekeeping.offlineAfter",
}

// TestBounds wants the chart to refuse the durations that the program refuses, and no
// others.
func TestBounds(t *testing.T) {
	list := render(t, parse(t, basis))
	tags := settingTags(t)
	for _, variable := range deployment(t, list).Spec.Template.Spec.Containers[0].Env {
		tag := tags[variable.Name]
		path, listed := durations[variable.Name]
		if bounded := tag.Get("min") != "" || tag.Get("max") != ""; bounded != listed {
			t.Errorf("%s has bounds in the program: %t, in this test: %t", variable.Name, bounded, listed)
		}
		if text := tag.Get("min"); text != "" {
			least := bound(t, text)
			refusesDuration(t, path, least-time.Millisecond, true)
			refusesDuration(t, path, least, false)
		}
		if text := tag.Get("max"); text != "" {
			most := bound(t, text)
			refusesDuration(t, path, most, false)
			refusesDuration(t, path, most+time.Millisecond, true)
		}
	}
}

func bound(t *testing.T, text string) time.Duration {
	t.Helper()
	duration, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return duration
}

func refusesDuration(t *testing.T, path string, duration time.Duration, want bool) {
	t.Helper()
	var value any = duration.String()
	if path == "settings.pollingDelay" {
		value = duration.Milliseconds()
	}
	values := parse(t, basis)
	put(values, path, value)
	_, err := files(t, values)
	if (err != nil) != want {
		t.Errorf("%s: %v is refused: %t, and the program's bounds say %t: %v", path, value, err != nil, want, err)
	}
	if err != nil {
		inWords(t, path, value, err)
	}
}

// settingTags are the tags of the program's settings by their variables.
func settingTags(t *testing.T) map[string]reflect.StructTag {
	t.Helper()
	paths, err := filepath.Glob("../../cmd/ado-agent-orchestrator/*.go")
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]reflect.StructTag{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.Field); ok && f.Tag != nil {
				text, _ := strconv.Unquote(f.Tag.Value)
				tag := reflect.StructTag(text)
				tags[tag.Get("env")] = tag
			}
			return true
		})
	}
	delete(tags, "")
	return tags
}
