package chart_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// installsAsAdministrator renders and creates the chart as a user who has rights in its
// namespace alone.
func (c *apiServer) installsAsAdministrator() {
	const user = "administrator-of-ado"
	c.namespace("ado")
	// ClusterRole admin is the sum of these, which a controller makes.
	for _, part := range []string{"admin", "edit", "view"} {
		c.grant(user, "system:aggregate-to-"+part)
	}
	c.grantKEDA(user)
	config := rest.CopyConfig(c.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	administrator := newAPIServer(c.t, config)
	const values = basis + `
tls: {mode: generate}
rbac: {create: false}
ca: {existingConfigMap: company-ca}
agentPools: [{pool: linux}]
`
	for missing, others := range map[string]string{
		`customresourcedefinitions.apiextensions.k8s.io "scaledjobs.keda.sh" is forbidden`: "networkPolicy: {kedaNamespaces: [keda]}",
		`deployments.apps "keda-operator" is forbidden`:                                    "keda: {version: 2.17.2}",
	} {
		// It takes a moment until the rights count.
		administrator.within(20*time.Second, func(context.Context) string {
			if _, err := administrator.rendered(parse(c.t, values+others)); err == nil || !strings.Contains(err.Error(), missing) {
				return fmt.Sprintf("the message lacks %s: %v", missing, err)
			}
			return ""
		})
	}
	list := administrator.render(parse(c.t, values+"keda: {version: 2.17.2}\nnetworkPolicy: {kedaNamespaces: [keda]}"))
	for _, object := range list {
		if err := administrator.create(object, metav1.DryRunAll); err != nil && !apierrors.IsAlreadyExists(err) {
			c.t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// grant binds a ClusterRole to a user in namespace ado.
func (c *apiServer) grant(user, role string) {
	c.t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user + "-" + strings.ReplaceAll(role, ":", "-")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if _, err := c.kube.RbacV1().RoleBindings("ado").Create(c.t.Context(), binding, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// grantKEDA grants the rights to KEDA's objects, which no role of Kubernetes has.
func (c *apiServer) grantKEDA(user string) {
	c.t.Helper()
	const name = "edit-keda"
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"keda.sh"}, Resources: []string{"*"}, Verbs: []string{"*"}}},
	}
	if _, err := c.kube.RbacV1().ClusterRoles().Create(c.t.Context(), role, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.grant(user, name)
}
