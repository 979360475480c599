package chart_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// rightsCase is what the scaler's service account may do, by namespace, as
// `kubectl auth can-i --list` has it: verb, resource and group.
type rightsCase struct {
	name, values string
	want         map[string][]string
}

var view = []string{
	"create events.events.k8s.io", "list events", "list jobs.batch", "list pods", "list scaledjobs.keda.sh", "list scaledobjects.keda.sh",
	"patch events.events.k8s.io", "watch events", "watch jobs.batch", "watch pods", "watch scaledjobs.keda.sh", "watch scaledobjects.keda.sh",
}

// leader is what an election takes, by the lease of the release of that name.
func leader(name string) []string {
	lease := "leases.coordination.k8s.io"
	return []string{"create " + lease, fmt.Sprintf("get %s [scaler-%s]", lease, name), fmt.Sprintf("update %s [scaler-%s]", lease, name)}
}

func join(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return all
}

// rights are tried one after the other, each with a separate service account.
var rights = []rightsCase{
	{"plain", `kubernetes: {enabled: false}`, map[string][]string{"ado": nil, "builds": nil}},
	{"default", ``, map[string][]string{"ado": join(view, leader("default")), "builds": nil}},
	{"view", `housekeeping: {stuckAfter: "0"}`, map[string][]string{"ado": view, "builds": nil}},
	{"namespaced", `kubernetes: {namespaces: [builds]}`, map[string][]string{"ado": leader("namespaced"), "builds": view, "default": nil}},
	{"everywhere", `kubernetes: {namespaces: ["*"]}`, map[string][]string{"ado": join(view, leader("everywhere")), "builds": view}},
	{"placeholders", `housekeeping: {placeholders: true, stuckAfter: "0"}`, map[string][]string{"ado": join(view, leader("placeholders"), []string{"get namespaces [ado]"}), "builds": nil}},
	{"owned", `housekeeping: {offlineAgents: true, owner: me, stuckAfter: "0"}`, map[string][]string{"ado": join(view, leader("owned")), "builds": nil}},
	{"deleting", `housekeeping: {deleteStuck: true}`, map[string][]string{"ado": join(view, leader("deleting"), []string{"delete jobs.batch"}), "builds": nil}},
	{"ending", `housekeeping: {endIdle: true, stuckAfter: "0"}`, map[string][]string{"ado": join(view, leader("ending"), []string{"delete jobs.batch"}), "builds": nil}},
	{"annotating", `housekeeping: {annotateJobs: true, stuckAfter: "0"}`, map[string][]string{"ado": join(view, leader("annotating"), []string{"patch jobs.batch"}), "builds": nil}},
	{"evictable", `housekeeping: {evictableIdle: true, stuckAfter: "0"}`, map[string][]string{
		"ado": join(view, leader("evictable"), []string{"create poddisruptionbudgets.policy", "patch poddisruptionbudgets.policy"}), "builds": nil,
	}},
	{"none", `rbac: {create: false}`, map[string][]string{"ado": nil, "builds": nil}},
}

// rights applies the chart's roles and asks what they amount to.
func (c *apiServer) rights(test rightsCase) {
	values := parse(c.t, basis+test.values+"\nfullnameOverride: scaler-"+test.name)
	list := render(c.t, values)
	for _, kind := range []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} {
		c.apply(ofKind(list, kind)...)
	}
	// It takes a moment until the roles count. Where there are none to wait
	// for, they do by then.
	namespaces := slices.SortedFunc(maps.Keys(test.want), func(a, b string) int { return len(test.want[b]) - len(test.want[a]) })
	for _, namespace := range namespaces {
		c.within(20*time.Second, func(ctx context.Context) string {
			got := c.rightsOf(ctx, "scaler-"+test.name, namespace)
			if want := test.want[namespace]; !slices.Equal(want, got) {
				return fmt.Sprintf("in %s:\n%s", namespace, cmp.Diff(want, got))
			}
			return ""
		})
	}
}

// rightsOf lists what a service account of namespace ado may do, beyond what
// anybody may.
func (c *apiServer) rightsOf(ctx context.Context, account, namespace string) []string {
	c.t.Helper()
	anybody := c.review(ctx, "nobody", namespace)
	return slices.DeleteFunc(c.review(ctx, account, namespace), func(right string) bool { return slices.Contains(anybody, right) })
}

func (c *apiServer) review(ctx context.Context, account, namespace string) (list []string) {
	c.t.Helper()
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:ado:" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:ado", "system:authenticated"},
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	ask := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	review, err := kube.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, ask, metav1.CreateOptions{})
	if err != nil || review.Status.Incomplete {
		c.t.Fatal(err, review.Status.EvaluationError)
	}
	for _, rule := range review.Status.ResourceRules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					right := strings.TrimSuffix(verb+" "+resource+"."+group, ".")
					if len(rule.ResourceNames) > 0 {
						right += fmt.Sprint(" ", rule.ResourceNames)
					}
					list = append(list, right)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}
