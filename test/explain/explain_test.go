// Package explain_test breaks each link on a job's way to an agent on purpose, on a
// real KEDA and API server with a simulated kubelet, and has the command explain name
// it.
package explain_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue/adotest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/controlplane"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/workload"
)

// link is a broken link, and how explain names it. In the words, NS is the
// namespace, TIME a time of day and POD the name of a pod or Job.
type link struct {
	name     string
	settings func(t *testing.T) settings
	unpolled bool // KEDA does not poll the ScaledJob
	breaks   func(p *place)
	code     string
	sentence string
}

func with(s settings) func(*testing.T) settings { return func(*testing.T) settings { return s } }

// links are in the order of a job's way.
var links = []link{
	{
		name: "Azure DevOps not readable", settings: with(settings{}), code: "azure-devops-unreadable",
		breaks:   func(p *place) { p.Azure.RevokePAT(cluster.ScalerPAT) },
		sentence: `Azure DevOps cannot be read for pool "linux" since TIME: list job requests of pool "linux" (id 1): 401 Unauthorized`,
	},
	{
		name: "throttled", settings: with(settings{}), code: "throttled",
		breaks: func(p *place) {
			p.Azure.Inject(adotest.Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"120"}}, Body: []byte("{}")})
		},
		sentence: `Azure DevOps throttles this scaler: pool "linux" is not read until TIME`,
	},
	{
		name: "placeholder missing", settings: with(settings{}), code: "placeholder-missing",
		breaks:   func(p *place) { p.must(p.Azure.RemoveAgent(cluster.Pool, cluster.Placeholder)) },
		sentence: `no agent is registered in pool "linux", so Azure DevOps fails each job at once`,
	},
	{
		name: "no ScaledJob meets a demand", settings: with(settings{}), code: "no-scaled-job",
		breaks:   func(p *place) { p.queue("docker", "gpu") },
		sentence: `no ScaledJob of pool "linux" meets the demands docker, gpu; the nearest is NS/build, which lacks gpu`,
	},
	{
		name: "maxReplicaCount", code: "max-replicas",
		settings: func(t *testing.T) settings {
			return settings{plan: held(t), job: func(s *workload.ScaledJob) { s.MaxReplicas = 1 }}
		},
		breaks: func(p *place) {
			p.queue("docker")
			p.queue("docker")
		},
		sentence: "ScaledJob NS/build is at its maxReplicaCount of 1: 0 busy, 1 waiting for a job, 0 ending",
	},
	{
		name: "parallel jobs", code: "parallel-jobs",
		settings: func(t *testing.T) settings {
			return settings{plan: held(t), azure: adotest.Options{ParallelJobs: 1}, scaler: []string{"CAP_BY_PARALLEL_JOBS=true"}}
		},
		breaks: func(p *place) {
			p.queue("docker")
			p.queue("docker")
		},
		sentence: "all parallel jobs of the organization are taken by running jobs or waiting agents",
	},
	{
		name: "paused", code: "paused", unpolled: true,
		settings: with(settings{
			scaler: []string{"SCALER_ADDRESS=scaler.invalid:9090"},
			job: func(s *workload.ScaledJob) {
				s.ScalerAddress, s.Annotations = "scaler.invalid:9090", map[string]string{"autoscaling.keda.sh/paused": "true"}
			},
		}),
		breaks: func(p *place) {
			// KEDA does not ask for a paused one; another one of the pool has it asked.
			other := workload.ScaledJob{
				Namespace: p.Namespace, Name: "other", ScalerAddress: p.scaler.Addr, OrganizationURL: p.Azure.URL(), Pool: cluster.Pool,
				Metadata: map[string]string{"capabilities": "java"},
			}
			p.must(p.Apply(p.t.Context(), other))
			p.queue("docker")
		},
		sentence: "ScaledJob NS/build is paused",
	},
	{
		name: "not asked by KEDA", code: "not-polled", unpolled: true,
		settings: with(settings{
			scaler: []string{"SCALER_ADDRESS=scaler.invalid:9090"},
			job:    func(s *workload.ScaledJob) { s.ScalerAddress = "scaler.invalid:9090" },
		}),
		breaks:   func(p *place) { p.queue("docker") },
		sentence: "KEDA has not polled ScaledJob NS/build since this scaler started or the ScaledJob changed",
	},
	{
		name: "KEDA creates nothing", settings: with(settings{}), code: "job-not-created",
		breaks: func(p *place) {
			p.quota("count/jobs.batch")
			p.queue("docker")
		},
		sentence: "KEDA got a metric at TIME that requires a Job of ScaledJob NS/build, but has created none",
	},
	{
		name: "quota refuses the pod", settings: with(settings{}), code: "pod-refused",
		breaks: func(p *place) {
			p.quota(corev1.ResourcePods)
			p.queue("docker")
		},
		sentence: `Kubernetes refuses the pod of Job POD: Error creating: pods "POD" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0`,
	},
	{
		name: "unschedulable", code: "unschedulable",
		settings: with(settings{plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Unschedulable: true} }}),
		breaks:   func(p *place) { p.queue("docker") },
		sentence: "pod POD gets no node: ",
	},
	{
		name: "image pull", code: "image-pull",
		settings: with(settings{plan: func(*corev1.Pod) controlplane.Plan { return controlplane.Plan{Waiting: "ImagePullBackOff"} }}),
		breaks:   func(p *place) { p.queue("docker") },
		sentence: "pod POD cannot pull its image: ImagePullBackOff: ",
	},
	{
		name: "container fails", settings: with(settings{plan: exits(3)}), code: "back-off",
		breaks:   func(p *place) { p.queue("docker") },
		sentence: "Jobs of ScaledJob NS/build fail before accepting work; next attempt at TIME: container agent ended with exit code 3",
	},
	{
		name: "agent does not register", settings: with(settings{plan: exits(12)}), code: "back-off",
		breaks: func(p *place) { p.queue("docker") },
		sentence: "Jobs of ScaledJob NS/build fail before accepting work; next attempt at TIME: container agent ended with exit code 12 " +
			"(the pool does not exist, may not be seen, or has no self-hosted agents)",
	},
	{
		name: "agent under another name", code: "agent-name-unknown",
		settings: with(settings{plan: func(*corev1.Pod) controlplane.Plan {
			return controlplane.Plan{Run: func(ctx context.Context, _ controlplane.Container) int {
				<-ctx.Done()
				return 0
			}}
		}, job: func(s *workload.ScaledJob) { s.PollingInterval = 10 * time.Second }}), // agents are listed every 15 s at most
		breaks: func(p *place) {
			p.queue("docker")
			p.eventually(func() string {
				pods, err := p.Kube.CoreV1().Pods(p.Namespace).List(p.t.Context(), metav1.ListOptions{})
				p.must(err)
				if len(pods.Items) == 0 || pods.Items[0].Status.Phase != corev1.PodRunning {
					return "no pod runs"
				}
				return ""
			})
			// It lacks what the job demands, and so does not take it.
			_, err := p.Azure.AddAgent(cluster.Pool, adotest.Agent{Name: "aca-7f3c2"})
			p.must(err)
		},
		sentence: `the agent of pod POD seems to be registered under another name, such as "aca-7f3c2", so that it cannot be joined with its Job`,
	},
}

func TestBrokenLinks(t *testing.T) {
	b, program := newBench(t)
	for _, l := range links {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			s := l.settings(t)
			s.poll = 5 * time.Second
			p := newPlace(t, b, program, s)
			if !l.unpolled {
				p.polledSteadily()
			}
			l.breaks(p)
			p.expect(&l)
		})
	}
}

// expect waits until explain names the link, which takes two polls of KEDA at most from
// when it was broken.
func (p *place) expect(l *link) {
	p.t.Helper()
	before, err := p.scaler.Polls(p.t.Context())
	p.must(err)
	p.eventually(func() string {
		r, code := p.explain("--pool", cluster.Pool)
		var found []string
		for _, b := range r.all() {
			sentence := p.neutral(b.Sentence)
			found = append(found, b.Code+": "+sentence)
			if b.Code == l.code && strings.HasPrefix(sentence, l.sentence) && b.Fix != "" && code == 3 {
				return ""
			}
		}
		return fmt.Sprintf("exit code %d, and not %s: %q, but %q", code, l.code, l.sentence, found)
	})
	after, err := p.scaler.Polls(p.t.Context())
	p.must(err)
	if n := after - before; n > 2 {
		p.t.Errorf("named after %d polls", n)
	}
}

// all returns all broken links.
func (r *report) all() (all []broken) {
	add := func(b *broken) {
		if b != nil {
			all = append(all, *b)
		}
	}
	for _, pool := range r.Pools {
		add(pool.Broken)
		for _, request := range pool.Requests {
			add(request.Broken)
		}
	}
	return all
}

var (
	timeOfDay = regexp.MustCompile(`\d\d:\d\d:\d\dZ`)
	generated = regexp.MustCompile(`build-[a-z0-9]{5}(-[a-z0-9]{5})?`)
)

// neutral returns a sentence without what is different each time.
func (p *place) neutral(sentence string) string {
	sentence = timeOfDay.ReplaceAllString(sentence, "TIME")
	sentence = generated.ReplaceAllString(sentence, "POD")
	return strings.ReplaceAll(sentence, p.Namespace+"/", "NS/")
}
