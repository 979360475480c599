package jobtemplate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	yamlv3 "go.yaml.in/yaml/v3"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// ReadDefinition reads a Job in YAML, of which file is the name for errors. A
// field that a Job does not have, one that appears twice and a value of
// the wrong type are errors that name the line; all of them are reported.
func ReadDefinition(file string, content []byte) (*batchv1.Job, error) {
	document, err := onlyDocument(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &reading{document: document, values: valuesOf(document, "")}
	job := r.job()
	if err := r.err(file); err != nil {
		return nil, err
	}
	return job, nil
}

// onlyDocument parses the file's only document.
func onlyDocument(content []byte) (*yamlv3.Node, error) {
	var document *yamlv3.Node
	for decoder := yamlv3.NewDecoder(bytes.NewReader(content)); ; {
		next := &yamlv3.Node{}
		err := decoder.Decode(next)
		switch {
		case errors.Is(err, io.EOF) && document != nil:
			return document, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("is empty; it must hold a Job of batch/v1")
		case err != nil:
			return nil, err
		case document != nil:
			return nil, fmt.Errorf("line %d: another document begins; there must be one only, a Job of batch/v1", next.Line)
		}
		document = next
	}
}

// reading is a document on its way to become a Job.
type reading struct {
	document *yamlv3.Node
	values   []value
	mistakes []lineMistake
}

type lineMistake struct {
	line int // 0 if it is not known
	text string
}

func (r *reading) mistake(line int, format string, args ...any) {
	r.mistakes = append(r.mistakes, lineMistake{line, fmt.Sprintf(format, args...)})
}

// err returns the mistakes in the order of their lines.
func (r *reading) err(file string) error {
	slices.SortStableFunc(r.mistakes, func(a, b lineMistake) int { return cmp.Compare(a.line, b.line) })
	var errs []error
	for _, m := range r.mistakes {
		place := file
		if m.line > 0 {
			place = fmt.Sprintf("%s:%d", file, m.line)
		}
		errs = append(errs, fmt.Errorf("%s: %s", place, m.text))
	}
	return errors.Join(errs...)
}

func (r *reading) job() *batchv1.Job {
	var header struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	// Mistakes in other fields are found below, with their lines.
	_ = r.document.Decode(&header)
	if header.APIVersion != "batch/v1" || header.Kind != "Job" {
		r.mistake(r.document.Content[0].Line, "apiVersion and kind: must be batch/v1 and Job, but are %q and %q", header.APIVersion, header.Kind)
		return nil
	}
	for _, v := range r.values {
		if v.twice {
			r.mistake(v.line, "%s: appears twice", v.path)
		}
	}
	r.wrongTypes()
	job, strict, err := decode(r.document)
	if err != nil {
		strict = append(strict, err)
	}
	for _, err := range strict {
		var unknown json.FieldError
		if !errors.As(err, &unknown) {
			r.mistake(0, "%s", err)
			continue
		}
		path := unknown.FieldPath()
		r.mistake(r.line(path), "%s: unknown field; see `kubectl explain job%s`", path, parent(path))
	}
	return job
}

// decode returns the Job that a document holds, the fields of it that a Job does
// not have, and an error for the first value of a wrong type.
func decode(document *yamlv3.Node) (job *batchv1.Job, strict []error, err error) {
	text, err := yamlv3.Marshal(document)
	if err != nil {
		return nil, nil, err
	}
	// As Kubernetes' tools do it, by the rules of YAML 1.1.
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil, err
	}
	job = &batchv1.Job{}
	strict, err = json.UnmarshalStrict(data, job, json.DisallowUnknownFields)
	return job, strict, err
}

func (r *reading) line(path string) int {
	for _, v := range r.values {
		if v.path == path {
			return v.line
		}
	}
	return 0
}

var (
	index     = regexp.MustCompile(`\[\d+\]`)
	lastField = regexp.MustCompile(`(^|\.)[^.]*$`)
)

// parent returns the field that holds a field, in the form that kubectl explain
// takes: empty, or with a dot before it.
func parent(path string) string {
	return lastField.ReplaceAllString("."+index.ReplaceAllString(path, ""), "")
}
