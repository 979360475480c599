package controlplane

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// container makes of a container's spec what its process is started with.
func (p *pod) container(spec corev1.Container) (Container, error) {
	home := filepath.Join(p.dir, "home", spec.Name)
	if err := os.MkdirAll(home, 0o750); err != nil {
		return Container{}, err
	}
	paths, err := p.mountedPaths(spec)
	if err != nil {
		return Container{}, &unreadyError{"ContainerCreating", err}
	}
	variables, err := p.variables(spec)
	if err != nil {
		return Container{}, &unreadyError{"CreateContainerConfigError", err}
	}
	command, err := p.command(spec)
	if err != nil {
		return Container{}, &unreadyError{"CreateContainerError", err}
	}
	c := Container{Pod: p.spec, Name: spec.Name, Dir: home}
	// Of two variables of one name a process gets the last: the spec rules.
	c.Env = append(c.Env, "PATH="+os.Getenv("PATH"), "HOME="+home, "HOSTNAME="+p.spec.Name)
	c.Env = append(c.Env, p.kubelet.options.Env...)
	for _, v := range variables.list {
		c.Env = append(c.Env, v.name+"="+paths.rewrite(v.value))
	}
	c.Env = append(c.Env, p.kubelet.plane.Environ()...)
	for _, argument := range command {
		c.Command = append(c.Command, paths.rewrite(variables.expand(argument)))
	}
	if dir := paths.rewrite(spec.WorkingDir); dir != spec.WorkingDir {
		c.Dir = dir
	}
	return c, nil
}

// command is that of the spec with its arguments, or that of the image.
func (p *pod) command(spec corev1.Container) ([]string, error) {
	if len(spec.Command) > 0 {
		return slices.Concat(spec.Command, spec.Args), nil
	}
	entrypoint := p.kubelet.options.Entrypoints[spec.Image]
	if len(entrypoint) == 0 && p.plan.Run == nil {
		return nil, fmt.Errorf("no command, and the kubelet knows no entrypoint of the image %q", spec.Image)
	}
	return slices.Concat(entrypoint, spec.Args), nil
}

var errUnsupported = errors.New("not supported by this kubelet")

// lookPath finds a program in the PATH of an environment.
func lookPath(program string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, variable := range slices.Backward(env) {
		list, found := strings.CutPrefix(variable, "PATH=")
		if !found {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				return path, nil
			}
		}
		break
	}
	return "", fmt.Errorf("no program %s in the container's PATH", program)
}
