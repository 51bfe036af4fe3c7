package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

// A definition may name the task queue on which alone its connector is imported, since
// only the worker there has the way to Okta and the secret (docs/scaling.md). Whoever
// starts a workflow may name any queue, so the activities look.

// elsewhere returns the task queue that a connector belongs to when the activity runs on
// another one, else "". It needs neither the secret nor Okta. A definition that is unknown
// or cannot be used belongs nowhere: the step after this one says what is wrong with it.
func (a *Activities) elsewhere(ctx context.Context, name string) (queue string, _ error) {
	row, err := a.store.Connector(ctx, name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); unknown {
		return "", nil
	}
	if err != nil {
		return "", storeError(err)
	}
	def, err := a.usable(row)
	if err != nil || onQueue(ctx, def) {
		return "", nil //nolint:nilerr // see above
	}
	return def.Config.TaskQueue, nil
}

// onQueue says whether the activity runs where the definition says.
func onQueue(ctx context.Context, def *connector.Definition) bool {
	queue := def.Config.TaskQueue
	return queue == "" || queue == activity.GetInfo(ctx).TaskQueue
}

// planned loads the definition for a step of a run that was planned under revision. It
// refuses another definition, and a task queue on which the connector is not imported:
// a workflow that was started there by hand has not come by [Activities.BeginRun].
func (a *Activities) planned(ctx context.Context, f mesh.Fence, revision string) (*connector.Definition, error) {
	def, err := a.definition(ctx, f.Connector)
	switch {
	case err != nil:
		return nil, err
	case revisionOf(def) != revision:
		return nil, definitionChanged(f)
	case !onQueue(ctx, def):
		return nil, permanentf(ErrDefinition, "connector %q is imported on task queue %q only, and this step of run %s is on %q: Okta was not called; start imports with `starter run %[1]s`",
			def.Name, def.Config.TaskQueue, f.RunID, activity.GetInfo(ctx).TaskQueue)
	}
	return def, nil
}
