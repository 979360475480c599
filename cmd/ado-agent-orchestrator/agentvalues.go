package main

import (
	"context"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/secrets"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/setting"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// definition is a Job in a file.
type definition struct{ job *batchv1.Job }

// UnmarshalText reads the file at a path.
func (d *definition) UnmarshalText(path []byte) error {
	content, err := secrets.Read(context.Background(), string(path))
	if err != nil {
		return err
	}
	d.job, err = jobtemplate.ReadDefinition(string(path), content)
	return err
}

// tokenSecret is a value in a Secret.
type tokenSecret struct{ jobtemplate.SecretKey }

// UnmarshalText reads NAME/KEY.
func (s *tokenSecret) UnmarshalText(text []byte) error {
	name, key, _ := strings.Cut(string(text), "/")
	if name == "" || key == "" {
		return fmt.Errorf("%q does not have the form NAME/KEY", text)
	}
	s.SecretKey = jobtemplate.SecretKey{Name: name, Key: key}
	return nil
}

// commonResources are those without a domain and a size in their names.
var commonResources = []string{string(corev1.ResourceCPU), string(corev1.ResourceMemory), string(corev1.ResourceEphemeralStorage)}

// quantities are resources such as cpu=1,memory=2Gi.
type quantities map[string]resource.Quantity

// UnmarshalText reads a list.
func (q *quantities) UnmarshalText(text []byte) error {
	var pairs setting.Pairs
	if err := pairs.UnmarshalText(text); err != nil {
		return err
	}
	*q = quantities{}
	for name, text := range pairs {
		if meant := setting.Nearest(name, commonResources); meant != "" && meant != name {
			return fmt.Errorf("%q is not a resource; did you mean %q?", name, meant)
		}
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return fmt.Errorf("%s: %q is not a quantity such as 500m or 2Gi", name, text)
		}
		(*q)[name] = quantity
	}
	return nil
}

func (q quantities) list() corev1.ResourceList {
	if len(q) == 0 {
		return nil
	}
	list := corev1.ResourceList{}
	for name, quantity := range q {
		list[corev1.ResourceName(name)] = quantity
	}
	return list
}
