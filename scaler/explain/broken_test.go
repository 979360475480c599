package explain

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/adoqueue"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/engine"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/fleet"
	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/scaler/plan"
)

// noon is when all sentences are said; at is a time before it.
var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) time.Time { return noon.Add(-ago) }

// counted is a view of a request that is on its way to ScaledJob ado/build, which
// KEDA asked about a second ago.
func counted(outcome plan.Outcome, change func(*view)) *view {
	key := plan.Key{Namespace: "ado", Name: "build"}
	scaledJob := fleet.NewScaledJob(key)
	scaledJob.PollingInterval = 5 * time.Second
	v := &view{
		now:     noon,
		pool:    &poolView{name: "Linux", scaledJobs: 1, podsInView: true},
		request: &adoqueue.JobRequest{ID: 7, QueueTime: at(time.Minute)}, demands: []string{"docker"},
		verdict: &plan.Verdict{RequestID: 7, Outcome: outcome, Group: key},
		scaledJob: &scaledJobView{
			key: key, max: 10, ready: fleet.Condition{Status: "True"},
			member: &engine.MemberState{ScaledJob: scaledJob, Since: at(time.Hour), PolledAt: at(time.Second)},
		},
		counted: at(time.Minute),
	}
	change(v)
	return v
}

// unserved is a view of a request that nobody serves.
func unserved(cause plan.Cause, change func(*view)) *view {
	return counted(plan.Unserved, func(v *view) {
		v.verdict.Cause = cause
		change(v)
	})
}

// withPod is a view of a request whose Job has a pod.
func withPod(status fleet.PodStatus, change func(*view, *fleet.Pod)) *view {
	return counted(plan.ByWaitingJob, func(v *view) {
		pod := &fleet.Pod{Name: "build-bcdfg-22222", Created: at(50 * time.Second), Status: status}
		v.job = &jobView{name: "build-bcdfg", created: at(50 * time.Second), pod: pod}
		if change != nil {
			change(v, pod)
		}
	})
}

// running is a pod that has run for so long.
func running(since time.Duration) fleet.PodStatus {
	return fleet.PodStatus{Scheduled: at(since), Started: at(since)}
}

func registered(agents ...adoqueue.Agent) map[string]*adoqueue.Agent {
	byName := map[string]*adoqueue.Agent{}
	for i := range agents {
		byName[agents[i].Name] = &agents[i]
	}
	return byName
}

// TestFirstBroken compares the words for each broken link.
func TestFirstBroken(t *testing.T) {
	none := func(*view) {}
	_, mistake := (&engine.Engine{}).Parse(map[string]string{"count": "x"})
	for name, tt := range map[string]struct {
		view          *view
		step          Step
		code          Code
		sentence, fix string
	}{
		"Azure DevOps is not readable": {
			view: counted(plan.ByWaitingJob, func(v *view) {
				v.pool.reading = adoqueue.Reading{FailingSince: at(time.Minute), Err: &adoqueue.Error{
					Operation: `list job requests of pool "Linux"`, Status: 401, Hint: "check that the token is valid",
				}}
			}),
			step: StepCounted, code: CodeUnreadable,
			sentence: `Azure DevOps cannot be read for pool "Linux" since 11:59:00Z: list job requests of pool "Linux": 401 Unauthorized`,
			fix:      "check that the token is valid",
		},
		"throttled": {
			view: unserved(plan.NoGroup, func(v *view) { v.pool.throttledUntil = at(-30 * time.Second) }),
			step: StepCounted, code: CodeThrottled,
			sentence: `Azure DevOps throttles this scaler: pool "Linux" is not read until 12:00:30Z`,
			fix:      "wait; if it happens often, raise POLLING_DELAY, and find out what else uses the identity (Organization settings, Usage)",
		},
		"Kubernetes is not readable": {
			view: counted(plan.ByNewJob, func(v *view) {
				v.pool.outOfDate = errors.New("the view of Kubernetes has been out of date for 5s, retried automatically: GET /apis: 503")
			}),
			step: StepCounted, code: CodeKubernetes,
			sentence: "nothing is decided, and KEDA gets errors: the view of Kubernetes has been out of date for 5s, retried automatically: GET /apis: 503",
			fix:      "check the API server, and the network between it and the scaler",
		},
		"no ScaledJob meets a demand": {
			view: unserved(plan.NoGroup, func(v *view) {
				v.demands = []string{"docker", "gpu"}
				v.nearest = &nearest{plan.Key{Namespace: "ado", Name: "build"}, []string{"gpu"}}
			}),
			step: StepCounted, code: CodeNoScaledJob,
			sentence: `no ScaledJob of pool "Linux" meets the demands docker, gpu; the nearest is ado/build, which lacks gpu`,
			fix:      "add gpu to the capabilities of a ScaledJob whose agents have it, or remove the demand from the pipeline",
		},
		"no ScaledJob states what it offers": {
			view: unserved(plan.NoGroup, none),
			step: StepCounted, code: CodeNoScaledJob,
			sentence: `no ScaledJob of pool "Linux" serves the demand docker`,
			fix:      "state what the agents offer as capabilities in the ScaledJobs' triggers, in place of demands or parent",
		},
		"no ScaledJob at all": {
			view: unserved(plan.NoGroup, func(v *view) { v.pool.scaledJobs = 0 }),
			step: StepCounted, code: CodeNoScaledJob,
			sentence: `no ScaledJob serves pool "Linux" with count exact`,
			fix:      "create a ScaledJob whose trigger has this pool as poolName; the command render prints one",
		},
		"maxReplicaCount": {
			view: unserved(plan.AtMaxReplicas, func(v *view) { v.scaledJob.plan = plan.GroupPlan{Busy: 7, Waiting: 2, Draining: 1} }),
			step: StepCounted, code: CodeMaxReplicas,
			sentence: "ScaledJob ado/build is at its maxReplicaCount of 10: 7 busy, 2 waiting for a job, 1 ending",
			fix:      "wait until a job ends, or raise maxReplicaCount",
		},
		"parallel jobs": {
			view: unserved(plan.NoParallelJob, none),
			step: StepCounted, code: CodeParallelJobs,
			sentence: "all parallel jobs of the organization are taken by running jobs or waiting agents",
			fix: "wait until a job ends, buy parallel jobs (Organization settings, Parallel jobs), " +
				"or set CAP_BY_PARALLEL_JOBS=false to create agents that wait for one",
		},
		"back-off after failures": {
			view: unserved(plan.GroupBlocked, func(v *view) {
				v.scaledJob.block = engine.Block{Cause: engine.HeldBack, Until: at(-20 * time.Second), Job: "build-bcdfg"}
				v.scaledJob.failed = fleet.PodStatus{Container: "agent", ExitCode: 11, Reason: "Error", Message: "token=abcdefgh was refused"}
			}),
			step: StepRegistered, code: CodeBackOff,
			sentence: "Jobs of ScaledJob ado/build fail before accepting work; next attempt at 12:00:20Z: " +
				"container agent ended with exit code 11 (the credential was refused or lacks a right): token=*** was refused",
			fix: "give the agents a token that is valid and has the scope Agent Pools (Read & manage)",
		},
		"back-off without pods in view": {
			view: unserved(plan.GroupBlocked, func(v *view) {
				v.scaledJob.block = engine.Block{Cause: engine.HeldBack, Until: at(-20 * time.Second), Job: "build-bcdfg"}
			}),
			step: StepRegistered, code: CodeBackOff,
			sentence: "Jobs of ScaledJob ado/build fail before accepting work; next attempt at 12:00:20Z",
			fix:      "see the log of a pod of Job build-bcdfg",
		},
		"paused": {
			view: unserved(plan.GroupBlocked, func(v *view) { v.scaledJob.block = engine.Block{Cause: engine.Paused} }),
			step: StepCounted, code: CodePaused,
			sentence: "ScaledJob ado/build is paused",
			fix:      "kubectl annotate scaledjob -n ado build autoscaling.keda.sh/paused-",
		},
		"being deleted": {
			view: unserved(plan.GroupBlocked, func(v *view) { v.scaledJob.block = engine.Block{Cause: engine.Deleting} }),
			step: StepCounted, code: CodeDeleting,
			sentence: "ScaledJob ado/build is being deleted",
			fix:      "wait for its Jobs to end, or create it again",
		},
		"cannot work": {
			view: unserved(plan.GroupBlocked, func(v *view) {
				v.scaledJob.block = engine.Block{Cause: engine.Invalid}
				v.scaledJob.member.Problem = "the ScaledJob cannot work with count exact: jobTargetRef.parallelism is 2; set it to 1"
			}),
			step: StepCounted, code: CodeInvalid,
			sentence: "the ScaledJob cannot work with count exact: jobTargetRef.parallelism is 2; set it to 1",
			fix:      "change what the sentence names",
		},
		"not asked by KEDA for three polls": {
			view: counted(plan.ByNewJob, func(v *view) { v.scaledJob.member.PolledAt = at(16 * time.Second) }),
			step: StepReported, code: CodeNotPolled,
			sentence: "KEDA has not polled ScaledJob ado/build since 11:59:44Z, more than three polls of 5s",
			fix: "see KEDA's log and the ScaledJob's events: does KEDA watch this namespace, and may it reach the scaler? " +
				"The command doctor checks both",
		},
		"never asked by KEDA": {
			view: unserved(plan.GroupBlocked, func(v *view) {
				v.scaledJob.block = engine.Block{Cause: engine.NotPolled}
				v.scaledJob.member.PolledAt = time.Time{}
			}),
			step: StepReported, code: CodeNotPolled,
			sentence: "KEDA has not polled ScaledJob ado/build since this scaler started or the ScaledJob changed",
			fix: "see KEDA's log and the ScaledJob's events: does KEDA watch this namespace, and may it reach the scaler? " +
				"The command doctor checks both",
		},
		"KEDA gets an error": {
			view: counted(plan.ByNewJob, func(v *view) { v.scaledJob.member.Err = mistake }),
			step: StepReported, code: CodeInvalid,
			sentence: "KEDA gets an error for ScaledJob ado/build: " + cause(mistake),
			fix:      "change what the sentence names",
		},
		"KEDA gets an error that is nobody's mistake": {
			view: counted(plan.ByNewJob, func(v *view) { v.scaledJob.member.Err = context.DeadlineExceeded }),
			step: StepReported, code: CodeUnreadable,
			sentence: "KEDA gets an error for ScaledJob ado/build: context deadline exceeded",
			fix:      "see the scaler's log",
		},
		"ScaledJob deleted since the decision": {
			view: counted(plan.ByNewJob, func(v *view) { v.scaledJob.member, v.reported = nil, at(time.Hour) }),
			step: StepCounted, code: CodeDeleting,
			sentence: "ScaledJob ado/build was deleted, or its trigger names another scaler", fix: "create it again, or cancel the job",
		},
		"KEDA creates nothing": {
			view: counted(plan.ByNewJob, func(v *view) { v.reported = at(11 * time.Second) }),
			step: StepJob, code: CodeNotCreated,
			sentence: "KEDA got a metric at 11:59:49Z that requires a Job of ScaledJob ado/build, but has created none",
			fix: "see KEDA's log and the ScaledJob's events; a quota on Jobs, an admission webhook or a limit on KEDA's rights " +
				"keeps it from creating them",
		},
		"run can create nothing": {
			view: counted(plan.ByNewJob, func(v *view) { v.reported, v.pool.standalone = at(11*time.Second), true }),
			step: StepJob, code: CodeRefused,
			sentence: "a Job of ado/build has been missing since 11:59:49Z, and none could be created",
			fix:      "see this program's log; the usual causes are a quota on Jobs, an admission webhook or a missing right",
		},
		"KEDA says why it creates nothing": {
			view: counted(plan.ByNewJob, func(v *view) {
				v.reported = at(time.Second)
				v.scaledJob.ready = fleet.Condition{Status: "False", Reason: "KEDAJobCreateFailed", Message: "exceeded quota: jobs"}
			}),
			step: StepJob, code: CodeNotCreated,
			sentence: "KEDA got a metric at 11:59:59Z that requires a Job of ScaledJob ado/build, but has created none: exceeded quota: jobs",
			fix: "see KEDA's log and the ScaledJob's events; a quota on Jobs, an admission webhook or a limit on KEDA's rights " +
				"keeps it from creating them",
		},
		"agent taken by another job": {
			view: counted(plan.ByNewJob, func(v *view) { v.taken, v.takenAt = 8, at(time.Second) }),
			step: StepAssigned, code: CodeTaken,
			sentence: "its agent took request 8; another Job is being created",
			fix:      "nothing: Azure DevOps assigns a job to any agent that can run it, and each job gets one",
		},
		"quota refuses the pod": {
			view: counted(plan.ByWaitingJob, func(v *view) {
				v.job = &jobView{name: "build-bcdfg", created: at(2 * time.Second), refusal: &fleet.Refusal{
					Message: `Error creating: pods "build-bcdfg-22222" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0`,
				}}
			}),
			step: StepScheduled, code: CodePodRefused,
			sentence: `Kubernetes refuses the pod of Job build-bcdfg: Error creating: pods "build-bcdfg-22222" is forbidden: ` +
				"exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0",
			fix: "raise the quota, or change the pod template to satisfy the admission rule named in the message",
		},
		"no pod, and no right to know why": {
			view: counted(plan.ByWaitingJob, func(v *view) { v.job = &jobView{name: "build-bcdfg", created: at(31 * time.Second)} }),
			step: StepScheduled, code: CodePodRefused,
			sentence: "no pod for Job build-bcdfg since 11:59:29Z",
			fix:      "kubectl describe job -n ado build-bcdfg; the scaler shows the reason here if it may list and watch events",
		},
		"unschedulable": {
			view: withPod(fleet.PodStatus{Reason: "Unschedulable", Message: "0/3 nodes are available: 3 Insufficient cpu."}, nil),
			step: StepScheduled, code: CodeUnschedulable,
			sentence: "pod build-bcdfg-22222 gets no node: 0/3 nodes are available: 3 Insufficient cpu.",
			fix:      "add nodes, wait for the cluster autoscaler, or change the requests, selectors and tolerations of the pod template",
		},
		"image pull": {
			view: withPod(fleet.PodStatus{Scheduled: at(time.Minute), Reason: "ImagePullBackOff", Message: `Back-off pulling image "agent:nope"`}, nil),
			step: StepStarted, code: CodeImagePull,
			sentence: `pod build-bcdfg-22222 cannot pull its image: ImagePullBackOff: Back-off pulling image "agent:nope"`,
			fix:      "check the image's name and tag in ScaledJob ado/build, the pull secrets of its namespace, and that nodes reach the registry",
		},
		"pod does not start": {
			view: withPod(fleet.PodStatus{Scheduled: at(time.Minute), Reason: "CreateContainerConfigError", Message: `secret "azure-devops" not found`}, nil),
			step: StepStarted, code: CodeNotStarted,
			sentence: `pod build-bcdfg-22222 does not start: CreateContainerConfigError: secret "azure-devops" not found`,
			fix:      "kubectl describe pod -n ado build-bcdfg-22222",
		},
		"container fails": {
			view: withPod(fleet.PodStatus{Container: "setup", ExitCode: 3, Reason: "Error", Message: "no disk"}, nil),
			step: StepRegistered, code: CodeContainer,
			sentence: "pod build-bcdfg-22222 has failed before it took a job: container setup ended with exit code 3: no disk",
			fix:      "see the log of container setup",
		},
		"container is killed": {
			view: withPod(fleet.PodStatus{Container: "agent", ExitCode: 137, Reason: "OOMKilled"}, nil),
			step: StepRegistered, code: CodeContainer,
			sentence: "pod build-bcdfg-22222 has failed before it took a job: container agent ended with exit code 137 (OOMKilled)",
			fix:      "see the log of container agent",
		},
		"evicted": {
			view: withPod(fleet.PodStatus{Reason: "Evicted", Message: "The node was low on resource: memory."},
				func(_ *view, pod *fleet.Pod) { pod.Ended = true }),
			step: StepRegistered, code: CodeContainer,
			sentence: "pod build-bcdfg-22222 has failed before it took a job: Evicted: The node was low on resource: memory.",
			fix:      "see the events of the pod and its node",
		},
		"agent ends without registering": {
			view: withPod(fleet.PodStatus{Container: "agent", ExitCode: 12, Reason: "Error"}, nil),
			step: StepRegistered, code: CodeNotRegistered,
			sentence: "pod build-bcdfg-22222 has failed before it took a job: container agent ended with exit code 12 " +
				"(the pool does not exist, may not be seen, or has no self-hosted agents)",
			fix: "correct AZP_POOL, and give the agents' identity a role on the pool",
		},
		"agent does not register": {
			view: withPod(running(61*time.Second), func(v *view, _ *fleet.Pod) { v.pool.agents = registered(adoqueue.Agent{Name: "placeholder"}) }),
			step: StepRegistered, code: CodeNotRegistered,
			sentence: `pod build-bcdfg-22222 started at 11:58:59Z, but no agent with its name is in pool "Linux"`,
			fix:      "kubectl logs -n ado build-bcdfg-22222",
		},
		"agent is offline": {
			view: withPod(running(61*time.Second), func(v *view, _ *fleet.Pod) {
				v.pool.agents = registered(adoqueue.Agent{Name: "build-bcdfg-22222", Enabled: true})
			}),
			step: StepRegistered, code: CodeNotRegistered,
			sentence: "agent build-bcdfg-22222 is offline, although its pod has run since 11:58:59Z",
			fix:      "kubectl logs -n ado build-bcdfg-22222",
		},
		"agent registered under another name": {
			view: withPod(running(20*time.Second), func(v *view, _ *fleet.Pod) {
				v.pool.agents = registered(adoqueue.Agent{Name: "aca-7f3c2", Online: true, StatusChanged: at(10 * time.Second)},
					adoqueue.Agent{Name: "vm-1", Online: true, StatusChanged: at(time.Hour)})
			}),
			step: StepRegistered, code: CodeOtherName,
			sentence: `the agent of pod build-bcdfg-22222 seems to be registered under another name, such as "aca-7f3c2", ` +
				"so that it cannot be joined with its Job",
			fix: "name agents after their pods: set AZP_AGENT_NAME by fieldRef to metadata.name",
		},
		"agent under another name runs a job": {
			view: withPod(running(2*time.Minute), func(v *view, _ *fleet.Pod) { v.scaledJob.stray = "aca-7f3c2" }),
			step: StepRegistered, code: CodeOtherName,
			sentence: `the agent of pod build-bcdfg-22222 seems to be registered under another name, such as "aca-7f3c2", ` +
				"so that it cannot be joined with its Job",
			fix: "name agents after their pods: set AZP_AGENT_NAME by fieldRef to metadata.name",
		},
		"agent is disabled": {
			view: withPod(running(time.Second), func(v *view, _ *fleet.Pod) {
				v.pool.agents = registered(adoqueue.Agent{Name: "build-bcdfg-22222", Online: true})
			}),
			step: StepAssigned, code: CodeIdle,
			sentence: "agent build-bcdfg-22222 is disabled", fix: "enable it in the pool's list of agents",
		},
		"agent gets no job": {
			view: withPod(running(61*time.Second), func(v *view, _ *fleet.Pod) {
				v.pool.agents = registered(adoqueue.Agent{Name: "build-bcdfg-22222", Online: true, Enabled: true})
			}),
			step: StepAssigned, code: CodeIdle,
			sentence: "agent build-bcdfg-22222 is online and gets no job from Azure DevOps: it lacks a demand that ScaledJob ado/build " +
				"states as capability, or the organization has no free parallel job",
			fix: "compare the agent's capabilities in the pool's list with the job's demands, and see Organization settings, Parallel jobs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := firstBroken(tt.view)
			if got == nil {
				t.Fatal("no link is broken")
			}
			if got.Step != tt.step || got.Code != tt.code {
				t.Errorf("got step %q and code %q, want %q and %q", got.Step, got.Code, tt.step, tt.code)
			}
			if got.Sentence != tt.sentence {
				t.Errorf("got  %s\nwant %s", got.Sentence, tt.sentence)
			}
			if got.Fix != tt.fix {
				t.Errorf("got  %s\nwant %s", got.Fix, tt.fix)
			}
		})
	}
}
