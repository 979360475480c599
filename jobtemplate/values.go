package jobtemplate

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"

	yamlv3 "go.yaml.in/yaml/v3"
)

// value is a value in a YAML document.
type value struct {
	node *yamlv3.Node
	// path is that of its field, such as spec.containers[0].image.
	path string
	// line is that of its key, or of its dash.
	line int
	// twice is set if the same key stands before it in the same mapping.
	twice bool
}

// valuesOf lists the values below a node, each after those that it consists of.
func valuesOf(node *yamlv3.Node, path string) []value {
	var values []value
	add := func(key, child *yamlv3.Node, path string, twice bool) {
		values = append(values, valuesOf(child, path)...)
		values = append(values, value{node: child, path: path, line: key.Line, twice: twice})
	}
	switch node.Kind {
	case yamlv3.DocumentNode:
		add(node.Content[0], node.Content[0], path, false)
	case yamlv3.SequenceNode:
		for i, item := range node.Content {
			add(item, item, fmt.Sprintf("%s[%d]", path, i), false)
		}
	case yamlv3.MappingNode:
		seen := map[string]bool{}
		for pair := range slices.Chunk(node.Content, 2) {
			key := pair[0].Value
			below := key
			if path != "" {
				below = path + "." + key
			}
			add(pair[0], pair[1], below, seen[key])
			seen[key] = true
		}
	default: // consists of nothing
	}
	return values
}

// wrongTypes reports the values that cannot be decoded, and takes them out. The
// decoder stops at the first one, and does not always say where it is. It is
// found by taking out more and more values from the first one on: the one without
// which the document can be decoded is wrong.
func (r *reading) wrongTypes() {
	for range r.values {
		_, _, err := decode(r.document)
		if err == nil {
			return
		}
		original := make([]yamlv3.Node, len(r.values))
		for i, v := range r.values {
			original[i] = *v.node
		}
		takeOut := func(from, to int) {
			for i, v := range r.values {
				*v.node = original[i]
				if i >= from && i <= to {
					*v.node = yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!null", Value: "null", Anchor: original[i].Anchor}
				}
			}
		}
		last := sort.Search(len(r.values)-1, func(i int) bool {
			takeOut(0, i)
			_, _, err := decode(r.document)
			return err == nil
		})
		// All before it are out, so that the error is about it alone.
		takeOut(0, last-1)
		_, _, err = decode(r.document)
		takeOut(last, last)
		r.mistake(r.values[last].line, "%s: %s", r.values[last].path, wrongType(err))
	}
}

// wrongType says why a value cannot be decoded.
func wrongType(err error) string {
	if mismatch, ok := errors.AsType[*stdjson.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("must be of type %s, not %s", mismatch.Type, mismatch.Value)
	}
	return err.Error()
}
