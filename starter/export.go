package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// errExport is the runbook's NotSupportedException ("What's deferred to phase 2"): the
// limitation surfaces, rather than changes being dropped in silence.
var errExport = errors.New("export is not supported: phase 1 of the Okta connector is import only. " +
	"Creating users, updating profile attributes, managing group membership and deactivating accounts in Okta are deferred to phase 2. " +
	"Nothing was sent to Okta and no change was dropped: changes that were meant for Okta stay with whoever made them. " +
	"To import from Okta: 'starter run NAME'")

func newExportCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "export [NAME]",
		Short: "Not supported: phase 1 only imports",
		Long: `Not supported. Phase 1 of the connector is import only: it never sends Okta a write.
Creating users, updating profile attributes, managing group membership and deactivating
accounts in Okta are deferred to phase 2. This command says so and ends with exit code 2,
so that a script or an engine that expects an export does not take silence for success.`,
		Example: `  starter export contoso      # explains, exit code 2
  starter run contoso --wait  # what there is: import`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: c.completeConnector,
		RunE:              c.action(func(context.Context, []string) error { return &usageError{errExport} }),
	}
}
