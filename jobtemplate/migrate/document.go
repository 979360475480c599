package migrate

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// document is one YAML document.
type document struct {
	source string
	node   *yamlv3.Node // the document
	root   *yamlv3.Node // its mapping
	// dirty is set if node is written in place of source.
	dirty bool
	// needless says why the document is not needed, unless others refer to it.
	needless string
	dropped  bool
}

var separator = regexp.MustCompile(`(?m)^---[ \t]*(#.*)?\n?`)

// parse reads the documents, and the items of a List each as a document.
func parse(manifests []byte) ([]*document, error) {
	if strings.Contains(string(manifests), "{{") {
		return nil, errors.New("these are templates of Helm: render them first, by helm template or kubectl get --output yaml")
	}
	var documents []*document
	line := 0
	for _, source := range separator.Split(strings.ReplaceAll(string(manifests), "\r\n", "\n"), -1) {
		node := &yamlv3.Node{}
		if err := yamlv3.Unmarshal([]byte(source), node); err != nil {
			return nil, fmt.Errorf("the document that begins at line %d: %w", line+1, err)
		}
		line += strings.Count(source, "\n") + 1
		if len(node.Content) == 0 || node.Content[0].Kind != yamlv3.MappingNode {
			continue
		}
		d := &document{source: source, node: node, root: node.Content[0]}
		if !d.is("List") {
			documents = append(documents, d)
			continue
		}
		for _, item := range items(find(d.root, "items")) {
			documents = append(documents, &document{node: item, root: item, dirty: true})
		}
	}
	return documents, nil
}

func (d *document) is(kinds ...string) bool {
	return slices.Contains(kinds, text(find(d.root, "kind")))
}
func (d *document) name() string      { return text(find(d.root, "metadata", "name")) }
func (d *document) namespace() string { return text(find(d.root, "metadata", "namespace")) }

// String names the object for people.
func (d *document) String() string {
	name := d.name()
	if namespace := d.namespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return text(find(d.root, "kind")) + " " + name
}

// resolve follows an alias.
func resolve(node *yamlv3.Node) *yamlv3.Node {
	if node != nil && node.Kind == yamlv3.AliasNode {
		return node.Alias
	}
	return node
}

// find returns the value at the end of a path of keys, nil if there is none.
func find(node *yamlv3.Node, path ...string) *yamlv3.Node {
	node = resolve(node)
	for _, key := range path {
		i := index(node, key)
		if i < 0 {
			return nil
		}
		node = resolve(node.Content[i+1])
	}
	return node
}

// index finds a key in a mapping.
func index(mapping *yamlv3.Node, key string) int {
	if mapping == nil || mapping.Kind != yamlv3.MappingNode {
		return -1
	}
	for i := 0; i < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// items are those of a list.
func items(list *yamlv3.Node) []*yamlv3.Node {
	list = resolve(list)
	if list == nil || list.Kind != yamlv3.SequenceNode {
		return nil
	}
	all := make([]*yamlv3.Node, len(list.Content))
	for i, item := range list.Content {
		all[i] = resolve(item)
	}
	return all
}

func text(node *yamlv3.Node) string {
	if node == nil || node.Kind != yamlv3.ScalarNode {
		return ""
	}
	return node.Value
}

// remove removes a key and reports whether it was there.
func remove(mapping *yamlv3.Node, key string) bool {
	i := index(mapping, key)
	if i < 0 {
		return false
	}
	mapping.Content = slices.Delete(mapping.Content, i, i+2)
	return true
}

// set assigns a value to a key. The comment beside the old one stays.
func set(mapping *yamlv3.Node, key string, value *yamlv3.Node) {
	if i := index(mapping, key); i >= 0 {
		value.LineComment = mapping.Content[i+1].LineComment
		mapping.Content[i+1] = value
		return
	}
	mapping.Content = append(mapping.Content, scalar(key), value)
}

// rename changes the name and value of a key, in its place.
func rename(mapping *yamlv3.Node, from, to string, value *yamlv3.Node) {
	if i := index(mapping, from); i >= 0 {
		mapping.Content[i].Value, mapping.Content[i+1] = to, value
		return
	}
	set(mapping, to, value)
}

func scalar(value string) *yamlv3.Node {
	node := &yamlv3.Node{}
	node.SetString(value)
	return node
}

// number is written without quotes.
func number(value string) *yamlv3.Node {
	return &yamlv3.Node{Kind: yamlv3.ScalarNode, Tag: "!!int", Value: value}
}

// mapping makes one of keys and values in turn.
func mapping(pairs ...any) *yamlv3.Node {
	node := &yamlv3.Node{Kind: yamlv3.MappingNode}
	for _, item := range pairs {
		switch item := item.(type) {
		case string:
			node.Content = append(node.Content, scalar(item))
		case *yamlv3.Node:
			node.Content = append(node.Content, item)
		}
	}
	return node
}

func list(items ...*yamlv3.Node) *yamlv3.Node {
	return &yamlv3.Node{Kind: yamlv3.SequenceNode, Content: items}
}

// ensure returns the mapping at a key, and makes it if it is missing.
func ensure(parent *yamlv3.Node, key string) *yamlv3.Node {
	if node := find(parent, key); node != nil && node.Kind == yamlv3.MappingNode {
		return node
	}
	node := mapping()
	set(parent, key, node)
	return node
}
