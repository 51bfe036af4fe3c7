package deployment

import (
	"errors"
	"strings"

	"go.temporal.io/api/serviceerror"
)

// MinimumServer is the first release of Temporal whose worker deployments its
// documentation calls good enough for production.
const MinimumServer = "1.29.1"

// Unsupported tells whether an error says that the server or the namespace has no worker
// deployments, and says so for people.
func Unsupported(err error) (why string, yes bool) {
	if _, old := errors.AsType[*serviceerror.Unimplemented](err); old {
		return "this Temporal server knows no worker deployments: it is too old, " + MinimumServer + " or newer is needed", true
	}
	// The server has no error type for it, only this text.
	if denied, ok := errors.AsType[*serviceerror.PermissionDenied](err); ok && strings.Contains(denied.Error(), "Deployment") && strings.Contains(denied.Error(), "disabled") {
		return "worker deployments are turned off in this namespace: its server has system.enableDeploymentVersions set to false", true
	}
	return "", false
}
