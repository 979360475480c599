package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// Schema knows which fields ScaledJobs have in a cluster. It reads them from the
// API server's OpenAPI document, for which a service account needs no rights.
type Schema struct {
	documents openapi.Client

	// url names the document that fields are from, and changes with it.
	url    string
	fields jobtemplate.Fields
}

// NewSchema makes a Schema. Its methods may not be called at the same time.
func NewSchema(client discovery.OpenAPIV3SchemaInterface) *Schema {
	return &Schema{documents: client.OpenAPIV3()}
}

// errNoKEDA means that the API server does not know ScaledJobs.
var errNoKEDA = errors.New("the cluster does not know ScaledJobs: is KEDA installed?")

// Fields returns the fields that ScaledJobs have now. changed is set if they may
// be others than before.
func (s *Schema) Fields() (fields jobtemplate.Fields, changed bool, err error) {
	paths, err := s.documents.Paths()
	if err != nil {
		return nil, false, fmt.Errorf("read the fields of ScaledJobs: %w", err)
	}
	document, ok := paths["apis/"+scaledJobs.GroupVersion().String()]
	if !ok {
		return nil, false, errNoKEDA
	}
	if url := document.ServerRelativeURL(); url != s.url || s.fields == nil {
		if s.fields, err = read(document); err != nil {
			return nil, false, fmt.Errorf("read the fields of ScaledJobs: %w", err)
		}
		s.url, changed = url, true
	}
	return s.fields, changed, nil
}

// read decodes the schema of ScaledJobs, and leaves the others alone.
func read(document openapi.GroupVersion) (jobtemplate.Fields, error) {
	content, err := document.Schema("application/json")
	if err != nil {
		return nil, err
	}
	var all struct {
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, err
	}
	for name, text := range all.Components.Schemas {
		if !strings.HasSuffix(name, ".ScaledJob") {
			continue
		}
		var schema map[string]any
		if err := json.Unmarshal(text, &schema); err != nil {
			return nil, err
		}
		return jobtemplate.FieldsIn(schema), nil
	}
	return nil, errNoKEDA
}
