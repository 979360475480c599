package jobtemplate

import (
	corev1 "k8s.io/api/core/v1"
)

// dockerVolume is named as the older orchestrator named it.
const dockerVolume = "docker-volume"

// dockerSocket mounts the node's socket, unless a Definition has done so.
func (d *draft) dockerSocket() {
	if d.DockerSocketPath == "" {
		return
	}
	for _, mount := range d.agent.VolumeMounts {
		if mount.MountPath == d.DockerSocketPath {
			return
		}
	}
	d.agent.VolumeMounts = append(d.agent.VolumeMounts, corev1.VolumeMount{Name: dockerVolume, MountPath: d.DockerSocketPath})
	for i := range d.spec.Volumes {
		volume := &d.spec.Volumes[i]
		if volume.Name != dockerVolume {
			continue
		}
		if volume.HostPath == nil || volume.HostPath.Path != d.DockerSocketPath {
			d.field(d.specPath.Child("volumes").Index(i), "%s must be the hostPath %s; give another volume another name", dockerVolume, d.DockerSocketPath)
		}
		return
	}
	d.spec.Volumes = append(d.spec.Volumes, corev1.Volume{Name: dockerVolume, VolumeSource: corev1.VolumeSource{
		// Without the type, a missing socket would become an empty directory.
		HostPath: &corev1.HostPathVolumeSource{Path: d.DockerSocketPath, Type: new(corev1.HostPathSocket)},
	}})
}

// secure keeps builds from the node and from the cluster, as far as they can do
// without. A Definition says for itself what its pods may do.
func (d *draft) secure() {
	if d.ServiceAccount == "" {
		d.spec.AutomountServiceAccountToken = new(false)
	}
	if d.DockerSocketPath != "" || d.Unrestricted {
		return
	}
	// The restricted pod security standard requires these.
	d.spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	d.agent.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}
