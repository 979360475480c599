package apply

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/jobtemplate"
)

// conflict is a field that somebody else manages and has set otherwise.
type conflict struct{ field, manager string }

var conflictManager = regexp.MustCompile(`conflict with "([^"]*)"`)

// conflicts returns what kept an object from being applied; none if it was
// something else.
func conflicts(err error) []conflict {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsConflict(err) || status.ErrStatus.Details == nil {
		return nil
	}
	var list []conflict
	for _, cause := range status.ErrStatus.Details.Causes {
		if match := conflictManager.FindStringSubmatch(cause.Message); cause.Type == metav1.CauseTypeFieldManagerConflict && match != nil {
			list = append(list, conflict{field: cause.Field, manager: match[1]})
		}
	}
	return list
}

// yielding are the managers whose fields are taken over: this program, which may
// have written them in another way than by applying, and KEDA's operator by the
// names of its program. To add its finalizer, that writes the whole ScaledJob back
// in its own spelling, such as `resources: {}` in a container, and then seems to
// manage what differs.
var yielding = []string{jobtemplate.Manager, "keda", "keda-operator"}

// onlyYielding reports whether there are conflicts, all of them with yielding
// managers.
func onlyYielding(err error) bool {
	list := conflicts(err)
	return len(list) > 0 && !slices.ContainsFunc(list, func(c conflict) bool { return !slices.Contains(yielding, c.manager) })
}

// explain adds what can be done about an error of Kubernetes.
func explain(err error) error {
	if list := conflicts(err); len(list) > 0 {
		fields := make([]string, len(list))
		for i, c := range list {
			fields[i] = fmt.Sprintf("%s (by %s)", c.field, c.manager)
		}
		return fmt.Errorf("fields conflict with other managers: %s; change the setting to their value, or remove the field there", strings.Join(fields, ", "))
	}
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; is there a Role for the program's ServiceAccount that allows it?", err)
	case isNoResource(err):
		return fmt.Errorf("%w; is KEDA installed in this cluster?", err)
	}
	return err
}

// isNoResource reports whether the server does not know a kind of objects at all.
func isNoResource(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.ErrStatus.Details
	return details != nil && slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == metav1.CauseTypeUnexpectedServerResponse
	})
}
