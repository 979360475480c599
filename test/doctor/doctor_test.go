package doctor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// fault is one that is put in on purpose.
type fault struct {
	name string
	// settings are doctor's that are changed, put what is done besides, and repair
	// what takes it back.
	settings    map[string]string
	put, repair func()
	// want is in the detail or subject of a fault that doctor must find.
	want string
}

// TestDoctor has doctor find nothing where all is well, and each fault.
func TestDoctor(t *testing.T) {
	p := newPatient(t, controlplane.ForTest(t, controlplane.Options{}))
	p.start()
	p.healthy()
	for _, f := range p.faults() {
		t.Run(f.name, func(t *testing.T) {
			if f.put != nil {
				f.put()
			}
			p.finds(t, f)
			if f.repair != nil {
				f.repair()
			}
		})
	}
	p.healthy()
}

// finds waits until doctor finds the fault: KEDA and the scaler take their time.
func (p *patient) finds(t *testing.T, f fault) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r, exit := p.examine(f.settings)
		for _, found := range r.Findings {
			if found.Status == "fault" && strings.Contains(found.Subject+": "+found.Detail, f.want) {
				if exit != 1 || r.Faults == 0 || found.Fix == "" {
					t.Errorf("exit code %d, %d faults, fix %q", exit, r.Faults, found.Fix)
				}
				return
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("doctor finds no %q: exit code %d, %+v", f.want, exit, r)
			return
		}
	}
}

func (p *patient) faults() []fault {
	return append(append(p.azureFaults(), p.clusterFaults()...), append(p.scaledJobFaults(), p.certificateFaults()...)...)
}

func (p *patient) azureFaults() []fault {
	empty := p.scaledJob()
	empty.Name, empty.Pool = "empty", "empty"
	missing := p.scaledJob()
	missing.Name, missing.Pool = "missing", "missing"
	p.Azure.AddPool(adotest.Pool{Name: "empty"})
	p.Azure.AllowPAT("reader", adotest.ScopeRead)
	return []fault{
		{name: "token refused", settings: map[string]string{"ORG_PAT_FILE": p.file("wrong", "wrong")}, want: "credential (pat): list pools: 401"},
		{name: "token may only read", settings: map[string]string{"ORG_PAT_FILE": p.file("reader", "reader")}, want: "the credential may not manage its agents"},
		{name: "no Azure DevOps", settings: map[string]string{"ORG_URL": "http://127.0.0.1:1/contoso"}, want: "organization http://127.0.0.1:1/contoso: credential (pat)"},
		{
			name: "pool that does not exist", want: "the pool does not exist",
			put: func() { p.must(p.Apply(p.t.Context(), missing)) }, repair: func() { p.must(p.Delete(p.t.Context(), missing.Name)) },
		},
		{
			// Without placeholders; the scaler keeps them.
			name: "pool without agents", want: "no agent is registered", settings: map[string]string{"PLACEHOLDERS": "false"},
			put: func() {
				p.must(p.scaler.Stop())
				p.must(p.Apply(p.t.Context(), empty))
			},
			repair: func() {
				p.must(p.Delete(p.t.Context(), empty.Name))
				p.start()
			},
		},
		{
			name: "clock", want: "this machine's clock differs",
			put: func() {
				p.Azure.Inject(adotest.Fault{
					Operation: adotest.OpPools, ContentType: "application/json", Body: []byte(`{"count":0,"value":[]}`),
					Header: http.Header{"Date": {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}},
				})
			},
			repair: func() { p.Azure.ClearFaults() },
		},
	}
}

func (p *patient) clusterFaults() []fault {
	good := func() { p.operator("ghcr.io/kedacore/keda:2.21.0", 1) }
	return []fault{
		{name: "no rights", settings: map[string]string{"KUBECONFIG": p.powerless(), "KUBE": "auto"}, want: "cannot list scaledjobs.keda.sh in all namespaces, which count exact requires"},
		{
			name: "no KEDA", want: "there is no Deployment keda-operator", repair: good,
			put: func() {
				p.must(p.Kube.AppsV1().Deployments(controlplane.KEDANamespace).Delete(p.t.Context(), "keda-operator", metav1.DeleteOptions{}))
			},
		},
		{name: "KEDA too old", want: "version 2.13.1 is older", put: func() { p.operator("ghcr.io/kedacore/keda:2.13.1", 1) }, repair: good},
		{name: "KEDA not ready", want: "no replica of its operator is ready", put: func() { p.operator("ghcr.io/kedacore/keda:2.21.0", 0) }, repair: good},
		{name: "another namespace in view", settings: map[string]string{"KUBE_NAMESPACES": "elsewhere"}, want: "the scaler does not view its namespace"},
		{name: "another address", settings: map[string]string{"SCALER_ADDRESS": "elsewhere:9090"}, want: "none names the scaler as elsewhere:9090"},
		{
			name: "scaler that cannot be reached", want: "scaler address " + p.env["SCALER_ADDRESS"],
			put: func() { p.must(p.scaler.Stop()) }, repair: p.start,
		},
		{
			name: "KEDA that does not ask", want: "KEDA has not polled it since the scaler started",
			put: func() {
				p.must(p.Plane.StopKEDA(p.t.Context()))
				p.must(p.scaler.Stop())
				p.start()
			},
			repair: func() { p.must(p.Plane.StartKEDA(p.t.Context())) },
		},
	}
}

func (p *patient) scaledJobFaults() []fault {
	repair := func() { p.must(p.Apply(p.t.Context(), p.scaledJob())) }
	with := func(change func(*workload.ScaledJob)) func() {
		return func() {
			job := p.scaledJob()
			change(&job)
			p.must(p.Apply(p.t.Context(), job))
		}
	}
	rollout := func(strategy string) func() {
		return func() {
			patch := `{"spec": {"rollout": {"strategy": "` + strategy + `"}}}`
			_, err := p.Dynamic.Resource(workload.ScaledJobs).Namespace(p.Namespace).
				Patch(p.t.Context(), "build", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			p.must(err)
		}
	}
	secrets := p.Kube.CoreV1().Secrets(p.Namespace)
	token := map[string]string{"token": cluster.AgentsPAT}
	without := func() { p.must(secrets.Delete(p.t.Context(), workload.TokenSecret, metav1.DeleteOptions{})) }
	return []fault{
		{
			name: "mistake in a trigger", want: "the scaler answers KEDA: ", repair: repair,
			put: with(func(j *workload.ScaledJob) { j.Metadata = map[string]string{"capabillities": "docker"} }),
		},
		{
			name: "strategy", want: "conflicts with count exact",
			repair: func() {
				p.must(p.Delete(p.t.Context(), "build"))
				repair()
			},
			put: with(func(j *workload.ScaledJob) { j.Strategy = "accurate" }),
		},
		{
			name: "paused", want: "it is paused", repair: repair,
			put: with(func(j *workload.ScaledJob) {
				j.Annotations = map[string]string{"autoscaling.keda.sh/paused": "true"}
			}),
		},
		{name: "rollout", want: "an edit of it kills running builds", put: rollout("immediate"), repair: rollout("gradual")},
		{
			name: "condition of KEDA", want: "KEDA's condition Ready is False", repair: repair,
			put: with(func(j *workload.ScaledJob) { j.Metadata = map[string]string{"poolID": "none"} }),
		},
		{
			name: "no token for agents", want: "Secret azure-devops: ", put: without,
			repair: func() { p.must(p.CreateSecret(p.t.Context(), workload.TokenSecret, token)) },
		},
		{
			name: "no key in a Secret", want: "Secret azure-devops has no key token",
			put: func() {
				without()
				p.must(p.CreateSecret(p.t.Context(), workload.TokenSecret, map[string]string{"pat": "x"}))
			},
			repair: func() {
				without()
				p.must(p.CreateSecret(p.t.Context(), workload.TokenSecret, token))
			},
		},
	}
}

func (p *patient) certificateFaults() []fault {
	expired, expiredKey := selfSigned(p.t, "127.0.0.1", time.Now().Add(-time.Hour))
	elsewhere, elsewhereKey := selfSigned(p.t, "192.0.2.1", time.Now().Add(365*24*time.Hour))
	pair := func(name, certificate, key string) map[string]string {
		return map[string]string{"TLS_CERT_FILE": p.file(name+".crt", certificate), "TLS_KEY_FILE": p.file(name+".key", key)}
	}
	authentications := p.Dynamic.Resource(workload.TriggerAuthentications).Namespace(p.Namespace)
	good, _ := p.Kube.CoreV1().Secrets(p.Namespace).Get(p.t.Context(), tlsSecret, metav1.GetOptions{})
	replace := func(certificate string) func() {
		return func() {
			p.must(p.Kube.CoreV1().Secrets(p.Namespace).Delete(p.t.Context(), tlsSecret, metav1.DeleteOptions{}))
			p.must(p.CreateSecret(p.t.Context(), tlsSecret, map[string]string{"ca.crt": certificate}))
		}
	}
	return []fault{
		{name: "certificate expired", settings: pair("expired", expired, expiredKey), want: "it expired at"},
		{name: "certificate of another host", settings: pair("elsewhere", elsewhere, elsewhereKey), want: "it is not valid for the scaler's address"},
		{name: "certificate of KEDA expired", want: "Secret scaler-tls, ca.crt: it expired", put: replace(expired), repair: replace(string(good.Data["ca.crt"]))},
		{
			name: "no TriggerAuthentication", want: "TriggerAuthentication scaler: ",
			put: func() { p.must(authentications.Delete(p.t.Context(), authentication, metav1.DeleteOptions{})) },
			repair: func() {
				p.must(p.CreateAuthentication(p.t.Context(),
					workload.TriggerAuthentication(p.Namespace, authentication, tlsSecret, map[string]string{"caCert": "ca.crt"})))
			},
		},
		{
			name: "trigger without TLS", want: "the scaler requires TLS, and its trigger has none",
			put: func() {
				job := p.scaledJob()
				job.Authentication = ""
				p.must(p.Apply(p.t.Context(), job))
			},
			repair: func() { p.must(p.Apply(p.t.Context(), p.scaledJob())) },
		},
	}
}

// TestDoctorWithoutFields has an older KEDA that does not run.
func TestDoctorWithoutFields(t *testing.T) {
	p := newPatient(t, controlplane.ForTest(t, controlplane.Options{KEDAVersion: "2.14.1", GeneratedCRDs: true, WithoutKEDA: true}))
	p.start()
	p.finds(t, fault{want: "it has no annotations of pods, and no PodDisruptionBudget"})
	p.finds(t, fault{want: "KEDA has not reconciled it"})
}
