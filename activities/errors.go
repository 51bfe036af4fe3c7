package activities

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// The types of the errors that Temporal must not retry: trying again cannot help.
// Every other error is retried.
const (
	ErrDefinition   = "InvalidDefinition"   // the connector is unknown, malformed or was changed during the run
	ErrWatermark    = "InvalidWatermark"    // the stored watermark is malformed or in the future
	ErrSecret       = "SecretUnavailable"   // the secret reference cannot be resolved
	ErrUnauthorized = "Unauthorized"        // Okta refuses the token, or a service app one
	ErrForbidden    = "Forbidden"           // the token's owner or the service app may not read this
	ErrRefused      = "Refused"             // Okta refuses the request, or answers what must not be followed
	ErrBadData      = "BadData"             // Okta sent an object that cannot be an object
	ErrEmpty        = "EmptyListing"        // a list without rows: never success
	ErrIncomplete   = "IncompleteListing"   // the listing missed objects that exist
	ErrCollision    = "ExternalIdCollision" // two live objects with one external id
	ErrFenced       = "Fenced"              // another run holds the connector
	ErrRestored     = "Restored"            // the database was put back to an earlier state
	ErrGaveUp       = "GaveUp"              // the runbook's three retries are used up
)

// NonRetryable lists those types, for the retry policy.
var NonRetryable = []string{
	ErrDefinition, ErrWatermark, ErrSecret, ErrUnauthorized, ErrForbidden, ErrRefused, ErrBadData,
	ErrEmpty, ErrIncomplete, ErrCollision, ErrFenced, ErrRestored, ErrGaveUp,
}

// MaxRetries is how often a page is tried again before the run gives up (runbook,
// "Throttling": up to 3 times). A recorded page starts the count anew.
const MaxRetries = 3

// maxBackoff is the runbook's longest back-off.
const maxBackoff = 30 * time.Second

// permanent is an error that stops the run with message.
func permanent(typ, message string) error {
	return temporal.NewApplicationErrorWithOptions(message, typ, temporal.ApplicationErrorOptions{NonRetryable: true})
}

// permanentf is permanent with a format.
func permanentf(typ, format string, args ...any) error {
	return permanent(typ, fmt.Sprintf(format, args...))
}

// retry is an error that Temporal tries again after the delay of the given
// consecutive failure: 1 s, 2 s, 4 s …, or what the server asked for.
func retry(err error, failures int, asked time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), "RetryLater",
		temporal.ApplicationErrorOptions{NextRetryDelay: backoff(failures, asked)})
}

func backoff(failures int, asked time.Duration) time.Duration {
	if asked > 0 {
		return asked
	}
	return min(time.Second<<min(max(failures, 1)-1, 10), maxBackoff)
}

// oktaError translates a permanent error of the client into the type that says what
// the caller should do. It returns nil for errors worth a retry.
func oktaError(err error) error {
	e, ok := errors.AsType[*okta.Error](err)
	if !ok || e.Kind == okta.RetryLater {
		return nil
	}
	typ := ErrRefused
	switch {
	case e.LacksScope():
		typ = ErrForbidden
	case e.Status == 401, e.Endpoint == okta.TokenEndpoint && e.Status >= 400:
		typ = ErrUnauthorized
	case e.Status == 403:
		typ = ErrForbidden
	case e.Status >= 200 && e.Status < 300:
		typ = ErrBadData
	}
	return permanent(typ, err.Error())
}

// refused is oktaError of a call of this connector. Where Okta turned the credential down,
// it names the command that finds out why.
func (s *session) refused(err error) error {
	perm := oktaError(err)
	app, ok := errors.AsType[*temporal.ApplicationError](perm)
	if !ok || app.Type() != ErrUnauthorized && app.Type() != ErrForbidden {
		return perm
	}
	return permanent(app.Type(), err.Error()+"; "+s.suggestCheck())
}

// suggestCheck is what to do next about what an administrator of Okta must put right.
func (s *session) suggestCheck() string {
	return fmt.Sprintf("to look at everything that a run needs: `starter connector check %s`", s.def.Name)
}

// storeError translates errors of the mesh. What it does not know, such as a full
// disk or an unreachable database, is retried until it is repaired: the run's state
// is in that database.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*mesh.FencedError](err); ok {
		if e.Stream != "" { // an attempt that Temporal gave up on has come back: claim again
			return retry(err, 1, 0)
		}
		return permanent(ErrFenced, err.Error())
	}
	if _, ok := errors.AsType[*mesh.RestoredError](err); ok {
		return permanent(ErrRestored, err.Error())
	}
	if _, ok := errors.AsType[*mesh.LoopError](err); ok {
		return permanent(ErrRefused, err.Error())
	}
	if _, ok := errors.AsType[*mesh.EndlessError](err); ok {
		return permanent(ErrRefused, err.Error())
	}
	if _, ok := errors.AsType[*mesh.IncompleteError](err); ok {
		return permanent(ErrIncomplete, err.Error())
	}
	if _, ok := errors.AsType[*mesh.CollisionError](err); ok {
		return permanent(ErrCollision, err.Error())
	}
	if _, ok := errors.AsType[*mesh.NotFoundError](err); ok {
		return permanent(ErrDefinition, err.Error())
	}
	if _, ok := errors.AsType[*mesh.ConflictError](err); ok {
		return permanent(ErrRefused, err.Error())
	}
	return err
}
