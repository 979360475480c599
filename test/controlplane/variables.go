package controlplane

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// variables are a container's environment variables in the order of its spec.
type variables struct {
	list []variable
}

type variable struct{ name, value string }

func (v *variables) set(name, value string) {
	v.list = append(v.list, variable{name, value})
}

func (v *variables) lookup(name string) (string, bool) {
	for _, known := range slices.Backward(v.list) {
		if known.name == name {
			return known.value, true
		}
	}
	return "", false
}

// reference is $(NAME), or $$ by which a reference is not one.
var reference = regexp.MustCompile(`\$\$|\$\([^)]*\)`)

// expand replaces references to variables. Those to unknown ones stay.
func (v *variables) expand(text string) string {
	return reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		name := strings.TrimSuffix(strings.TrimPrefix(match, "$("), ")")
		if value, ok := v.lookup(name); ok {
			return value
		}
		return match
	})
}

// variables resolves the environment of a container's spec.
func (p *pod) variables(spec corev1.Container) (*variables, error) {
	found := &variables{}
	for _, source := range spec.EnvFrom {
		if err := p.addAll(found, source); err != nil {
			return nil, err
		}
	}
	for _, env := range spec.Env {
		if env.ValueFrom == nil {
			found.set(env.Name, found.expand(env.Value))
			continue
		}
		value, ok, err := p.resolve(env.ValueFrom)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", env.Name, err)
		}
		if ok {
			found.set(env.Name, value)
		}
	}
	return found, nil
}

// addAll adds all keys of a Secret or ConfigMap.
func (p *pod) addAll(found *variables, source corev1.EnvFromSource) error {
	var values map[string]string
	var err error
	switch {
	case source.SecretRef != nil:
		values, err = p.secret(source.SecretRef.Name, source.SecretRef.Optional)
	case source.ConfigMapRef != nil:
		values, err = p.configMap(source.ConfigMapRef.Name, source.ConfigMapRef.Optional)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		found.set(source.Prefix+name, values[name])
	}
	return err
}

// resolve returns the value of a source, if it has one: what is optional may not.
func (p *pod) resolve(source *corev1.EnvVarSource) (value string, ok bool, err error) {
	switch {
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		values, err := p.secret(ref.Name, ref.Optional)
		return one(values, ref.Key, ref.Optional, err)
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		values, err := p.configMap(ref.Name, ref.Optional)
		return one(values, ref.Key, ref.Optional, err)
	case source.FieldRef != nil:
		value, err := field(p.spec, source.FieldRef.FieldPath)
		return value, true, err
	default:
		return "", false, fmt.Errorf("its source is %w", errUnsupported)
	}
}

func one(values map[string]string, key string, optional *bool, err error) (string, bool, error) {
	if err != nil {
		return "", false, err
	}
	value, ok := values[key]
	if !ok && !ptr.Deref(optional, false) {
		return "", false, fmt.Errorf("key %s is missing", key)
	}
	return value, ok, nil
}

func (p *pod) secret(name string, optional *bool) (map[string]string, error) {
	secret, err := p.kubelet.client.CoreV1().Secrets(p.spec.Namespace).Get(p.dead, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	values := make(map[string]string, len(secret.Data))
	for key, value := range secret.Data {
		values[key] = string(value)
	}
	return values, nil
}

func (p *pod) configMap(name string, optional *bool) (map[string]string, error) {
	configMap, err := p.kubelet.client.CoreV1().ConfigMaps(p.spec.Namespace).Get(p.dead, name, metav1.GetOptions{})
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	values := maps.Clone(configMap.Data)
	if values == nil {
		values = make(map[string]string, len(configMap.BinaryData))
	}
	for key, value := range configMap.BinaryData {
		values[key] = string(value)
	}
	return values, nil
}

func unlessOptional(err error, optional *bool) error {
	if apierrors.IsNotFound(err) && ptr.Deref(optional, false) {
		return nil
	}
	return err
}
