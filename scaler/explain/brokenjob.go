package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
)

const (
	// podWithin is how long a Job may be without a pod, and startWithin a pod without
	// containers that run, when nothing says why.
	podWithin   = 30 * time.Second
	startWithin = 2 * time.Minute
	// refusedWithin is how long a refusal counts where pods are not in view: Kubernetes
	// tries again each minute, and the pod may have been created since.
	refusedWithin = 2 * time.Minute
	// registerWithin is how long an agent may take to come into its pool, and to be in
	// the list of agents that is looked at.
	registerWithin = 45*time.Second + agentsMaxAge
	// strayAfter is how long a pod has to run before an agent of another name is thought
	// to be its: mostly it is about to register, and somebody else's came online.
	strayAfter = agentsMaxAge
	// assignWithin is how long an agent that is in its pool may be without a job.
	assignWithin = time.Minute
)

// brokenJob explains a request whose Job is there.
func (v *view) brokenJob() *Broken {
	job := v.job
	if job == nil {
		return nil
	}
	if job.pod == nil {
		return v.withoutPod()
	}
	pod := job.pod
	status := &pod.Status
	switch {
	case status.Container != "" || pod.Ended && status.Reason != "":
		what, fix := describeFailure(status)
		code := CodeContainer
		if _, known := exitCodes[status.ExitCode]; known && status.ExitCode != exitCrash {
			code = CodeNotRegistered
		}
		return &Broken{
			Step: StepRegistered, Code: code, Since: status.FailedAt,
			Sentence: fmt.Sprintf("pod %s has failed before it took a job: %s", pod.Name, what), Fix: fix,
		}
	case status.Reason == "Unschedulable":
		return &Broken{
			Step: StepScheduled, Code: CodeUnschedulable, Since: pod.Created,
			Sentence: fmt.Sprintf("pod %s gets no node: %s", pod.Name, mask(status.Message)),
			Fix:      "add nodes, wait for the cluster autoscaler, or change the requests, selectors and tolerations of the pod template",
		}
	case isImageFailure(status.Reason):
		return &Broken{
			Step: StepStarted, Code: CodeImagePull, Since: cmpTime(status.Scheduled, pod.Created),
			Sentence: fmt.Sprintf("pod %s cannot pull its image: %s: %s", pod.Name, status.Reason, mask(status.Message)),
			Fix: fmt.Sprintf("check the image's name and tag in ScaledJob %s, the pull secrets of its namespace, and that nodes reach the registry",
				v.scaledJob.key),
		}
	case status.Reason != "" && (status.Reason != "ContainerCreating" || v.now.Sub(cmpTime(status.Scheduled, pod.Created)) > startWithin):
		return &Broken{
			Step: StepStarted, Code: CodeNotStarted, Since: cmpTime(status.Scheduled, pod.Created),
			Sentence: fmt.Sprintf("pod %s does not start: %s: %s", pod.Name, status.Reason, mask(status.Message)),
			Fix:      fmt.Sprintf("kubectl describe pod -n %s %s", v.scaledJob.key.Namespace, pod.Name),
		}
	case status.Started.IsZero(), pod.Ended: // its Job is about to end, too
		return nil
	default:
		return v.withoutJob(pod)
	}
}

// withoutPod explains a Job without a pod.
func (v *view) withoutPod() *Broken {
	job := v.job
	switch {
	case job.refusal != nil && (v.pool.podsInView || v.now.Sub(job.refusal.Last) < refusedWithin):
		return &Broken{
			Step: StepScheduled, Code: CodePodRefused, Since: job.refusal.First,
			Sentence: fmt.Sprintf("Kubernetes refuses the pod of Job %s: %s", job.name, mask(job.refusal.Message)),
			Fix:      "raise the quota, or change the pod template to satisfy the admission rule named in the message",
		}
	case v.pool.podsInView && v.now.Sub(job.created) > podWithin:
		return &Broken{
			Step: StepScheduled, Code: CodePodRefused, Since: job.created,
			Sentence: fmt.Sprintf("no pod for Job %s since %s", job.name, clock(job.created)),
			Fix: fmt.Sprintf("kubectl describe job -n %s %s; the scaler shows the reason here if it may list and watch events",
				v.scaledJob.key.Namespace, job.name),
		}
	default:
		return nil
	}
}

// withoutJob explains a pod that runs and whose agent has no job.
func (v *view) withoutJob(pod *fleet.Pod) *Broken {
	runs := v.now.Sub(pod.Status.Started)
	agent, known := v.pool.agent(pod.Name)
	other := ""
	if agent == nil && !v.registered {
		other = v.stray(pod)
	}
	switch {
	case other != "":
		return &Broken{
			Step: StepRegistered, Code: CodeOtherName, Since: pod.Status.Started,
			Sentence: fmt.Sprintf("the agent of pod %s seems to be registered under another name, such as %q, so that it cannot be joined with its Job",
				pod.Name, other),
			Fix: "name agents after their pods: set AZP_AGENT_NAME by fieldRef to metadata.name",
		}
	case agent == nil && known && !v.registered && runs > registerWithin:
		return &Broken{
			Step: StepRegistered, Code: CodeNotRegistered, Since: pod.Status.Started,
			Sentence: fmt.Sprintf("pod %s started at %s, but no agent with its name is in pool %q",
				pod.Name, clock(pod.Status.Started), v.pool.name),
			Fix: fmt.Sprintf("kubectl logs -n %s %s", v.scaledJob.key.Namespace, pod.Name),
		}
	case agent != nil && !agent.Online && runs > registerWithin:
		return &Broken{
			Step: StepRegistered, Code: CodeNotRegistered, Since: pod.Status.Started,
			Sentence: fmt.Sprintf("agent %s is offline, although its pod has run since %s", pod.Name, clock(pod.Status.Started)),
			Fix:      fmt.Sprintf("kubectl logs -n %s %s", v.scaledJob.key.Namespace, pod.Name),
		}
	case agent != nil && !agent.Enabled:
		return &Broken{
			Step: StepAssigned, Code: CodeIdle, Since: pod.Status.Started,
			Sentence: fmt.Sprintf("agent %s is disabled", pod.Name),
			Fix:      "enable it in the pool's list of agents",
		}
	case agent != nil && runs > assignWithin:
		return &Broken{
			Step: StepAssigned, Code: CodeIdle, Since: pod.Status.Started,
			Sentence: fmt.Sprintf("agent %s is online and gets no job from Azure DevOps: it lacks a demand that ScaledJob %s states as capability, "+
				"or the organization has no free parallel job", pod.Name, v.scaledJob.key),
			Fix: "compare the agent's capabilities in the pool's list with the job's demands, and see Organization settings, Parallel jobs",
		}
	default:
		return nil
	}
}

// agent returns the registered agent of this name; known is false if it is unknown
// who is registered.
func (p *poolView) agent(name string) (agent *adoqueue.Agent, known bool) {
	return p.agents[strings.ToLower(name)], p.agents != nil
}

// stray returns the name under which the agent of a pod may be registered instead, ""
// if there is none. Where others serve the pool, too, agents of theirs come and go.
func (v *view) stray(pod *fleet.Pod) string {
	s := v.scaledJob
	shared := s.member != nil && s.member.Trigger != nil && !s.member.Trigger.Requests.Shard.All()
	if s.stray != "" || shared || v.now.Sub(pod.Status.Started) < strayAfter {
		return s.stray
	}
	return v.pool.strayOf(pod)
}

// strayOf returns an agent that came online after a pod started and has the name of
// no pod, "" if there is none.
func (p *poolView) strayOf(pod *fleet.Pod) string {
	stray := ""
	for name, agent := range p.agents {
		if agent.Online && !p.pods[name] && agent.StatusChanged.After(pod.Status.Started) && (stray == "" || agent.Name < stray) {
			stray = agent.Name
		}
	}
	return stray
}

// describeFailure says how a pod has failed, and what to do.
func describeFailure(s *fleet.PodStatus) (what, fix string) {
	if s.Container == "" {
		return strings.TrimSuffix(s.Reason+": "+mask(s.Message), ": "), "see the events of the pod and its node"
	}
	what = fmt.Sprintf("container %s ended with exit code %d", s.Container, s.ExitCode)
	fix = "see the log of container " + s.Container
	if meaning, ok := exitCodes[s.ExitCode]; ok {
		what += " (" + meaning.text + ")"
		fix = meaning.fix
	} else if s.Reason != "Error" {
		what += " (" + s.Reason + ")"
	}
	if s.Message != "" {
		what += ": " + mask(s.Message)
	}
	return what, fix
}

// isImageFailure reports whether a reason of the kubelet is about an image.
func isImageFailure(reason string) bool {
	switch reason {
	case "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
		return true
	default:
		return false
	}
}

func cmpTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
