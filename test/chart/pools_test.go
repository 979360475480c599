package chart_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// emptyPool has no agents at first, not even a placeholder.
const emptyPool = "empty"

// installed is a release of the chart.
type installed struct {
	*env
	values  map[string]any
	objects []*unstructured.Unstructured
	testPod *unstructured.Unstructured
}

// asInREADME installs the chart as the README says, and besides with
// certificates that the chart makes.
func asInREADME(s *env) {
	i := &installed{env: s}
	i.fromREADME()
	i.install(false)
	i.runDeployment(ofKind(i.objects, "Deployment")[0], nil)

	// Until then Azure DevOps fails each job at once.
	i.eventually(func(context.Context) string {
		if len(i.Azure.Agents(emptyPool)) == 0 {
			return "there is no placeholder\n" + i.scalerLog()
		}
		return ""
	})
	i.done(i.queue(emptyPool, 3, time.Second))
	if n := len(i.jobs()); n != 3 {
		i.t.Errorf("%d Jobs for 3 requests", n)
	}
	i.answersItsTest()
	i.knowsItsClients()
	i.upgrade()
	i.quiet()
}

// fromREADME takes the values of the README, with what a cluster of tests needs.
func (i *installed) fromREADME() {
	i.t.Helper()
	readme := followed(i.t)
	i.values = readme.values
	organization := i.values["organization"].(map[string]any)
	if organization["existingSecret"] != readme.secret || readme.key != "token" {
		i.t.Fatalf("the README makes Secret %s with %s, and installs %v", readme.secret, readme.key, i.values)
	}
	i.Azure.AddPool(adotest.Pool{Name: emptyPool})
	if err := i.CreateSecret(i.t.Context(), "of-the-readme", map[string]string{readme.key: cluster.AgentsPAT}); err != nil {
		i.t.Fatal(err)
	}
	organization["url"], organization["existingSecret"] = i.Azure.URL(), "of-the-readme"
	i.values["scalerAddress"] = i.grpc
	i.values["tls"] = map[string]any{"mode": "generate"}
	i.values["settings"] = map[string]any{"pollingDelay": 100}
	i.values["agents"] = map[string]any{"image": cluster.AgentImage, "pollingInterval": 1}
	i.pool()["pool"] = emptyPool
}

func (i *installed) pool() map[string]any {
	return i.values["agentPools"].([]any)[0].(map[string]any)
}

// install applies what the chart renders.
func (i *installed) install(upgrade bool) {
	i.t.Helper()
	loaded, of := load(i.t), release
	of.Namespace, of.IsInstall, of.IsUpgrade = i.Namespace, !upgrade, upgrade
	values, err := util.ToRenderValues(loaded, i.values, of, capabilities())
	if err != nil {
		i.t.Fatal(err)
	}
	rendered, err := engine.RenderWithClient(loaded, values, i.config)
	if err != nil {
		i.t.Fatal(err)
	}
	i.testPod = objects(i.t, rendered[testPod])[0]
	delete(rendered, testPod)
	i.objects = objects(i.t, manifests(rendered))
	for _, object := range i.objects {
		// Helm marks all objects so, and KEDA hands it on to Jobs.
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations["meta.helm.sh/release-name"], annotations["meta.helm.sh/release-namespace"] = of.Name, of.Namespace
		object.SetAnnotations(annotations)
		i.put(object)
	}
}

// answersItsTest runs the pod of helm test.
func (i *installed) answersItsTest() {
	i.t.Helper()
	pod := typedAs(i.t, i.testPod, &corev1.Pod{})
	pod.Spec.Containers[0].Image = cluster.ScalerImage
	pods := i.Kube.CoreV1().Pods(i.Namespace)
	if _, err := pods.Create(i.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		i.t.Fatal(err)
	}
	i.eventually(func(ctx context.Context) string {
		now, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if now.Status.Phase == corev1.PodFailed {
			i.t.Fatalf("the helm test failed: %s", i.log(now))
		}
		if now.Status.Phase != corev1.PodSucceeded {
			return fmt.Sprintf("the helm test is %s", now.Status.Phase)
		}
		return ""
	})
}

// knowsItsClients tries to connect without a certificate.
func (i *installed) knowsItsClients() {
	i.t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	connection, err := dialer.DialContext(i.t.Context(), "tcp", i.grpc)
	if err == nil {
		defer connection.Close()
		_, err = connection.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		i.t.Errorf("a client without a certificate got %v", err)
	}
}

// upgrade changes what a pool has while one of its agents runs.
func (i *installed) upgrade() {
	i.t.Helper()
	long := i.queue(emptyPool, 1, 15*time.Second)
	i.are(adotest.Running, long)
	certificates := i.certificates()
	maps.Copy(i.pool(), map[string]any{
		"max": 7, "ttlSecondsAfterFinished": 60, "capabilities": map[string]any{"docker": ""},
		"env": []any{map[string]any{"name": "CHANGED", "value": "1"}},
	})
	i.install(true)
	if !maps.Equal(certificates, i.certificates()) {
		i.t.Error("the upgrade has changed the certificates")
	}
	i.are(adotest.Finished, i.queue(emptyPool, 1, time.Second))
	if r, _ := i.Azure.Request(long[0]); r.State != adotest.Running {
		i.t.Errorf("%+v: this shows nothing", r)
	}
	i.done(long)
	changed := 0
	for _, job := range i.jobs() {
		for _, v := range job.Spec.Template.Spec.Containers[0].Env {
			if v.Name == "CHANGED" {
				changed++
			}
		}
	}
	if n := len(i.jobs()); n != 5 || changed != 1 {
		i.t.Errorf("%d Jobs, %d of them with the new settings", n, changed)
	}
}

// certificates are what the Secrets for TLS hold.
func (i *installed) certificates() map[string]string {
	i.t.Helper()
	all := map[string]string{}
	for _, name := range []string{"ado-agent-orchestrator-tls", "ado-agent-orchestrator-keda-client"} {
		secret, err := i.Kube.CoreV1().Secrets(i.Namespace).Get(i.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			i.t.Fatal(err)
		}
		for key, value := range secret.Data {
			all[name+"/"+key] = string(value)
		}
	}
	if len(all) != 6 {
		i.t.Fatalf("there are %d", len(all))
	}
	return all
}
