// Package meshtest is the conformance suite of [mesh.Store]: every implementation
// passes it. The properties it checks are those of design.md §3.
package meshtest

import (
	"testing"

	"github.com/identitymesh/okta-connector/mesh"
)

// Run runs the suite. open returns an empty store, closed by the test's clean-up.
func Run(t *testing.T, open func(t *testing.T) mesh.Store) {
	t.Helper()
	RunSmall(t, open)
	if testing.Short() {
		t.Log("SKIPPED: the tests of large groups, many renames and many pages (-short)")
		return
	}
	runAll(t, open, largeTests, longListTests)
}

// RunSmall runs the suite without the tests that write thousands of rows: enough
// for a store that is made to work in tiny transactions.
func RunSmall(t *testing.T, open func(t *testing.T) mesh.Store) {
	t.Helper()
	runAll(t, open, connectorTests, leaseTests, progressTests, objectTests, externalIDTests,
		memberTests, claimTests, sweepTests, settleTests, runTests, readTests,
		waitingTests, queueTests, everyoneTests, changedTests, outsideTests, watermarkTests, shadowTests,
		holdTests, wishTests, guardTests, edgeGuardTests, scopeTests, retentionTests, restoredTests, endlessTests, standingTests, followTests)
	t.Run("Secrets", func(t *testing.T) {
		t.Parallel()
		testSecrets(t, open(t))
	})
	t.Run("Property", func(t *testing.T) {
		t.Parallel()
		testProperty(t, open(t))
	})
	t.Run("HoldProperty", func(t *testing.T) {
		t.Parallel()
		testHoldProperty(t, open(t))
	})
}

func runAll(t *testing.T, open func(t *testing.T) mesh.Store, groups ...map[string]func(t *testing.T, b *bench)) {
	t.Helper()
	for _, group := range groups {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, newBench(t.Context(), t, open(t), "contoso"))
			})
		}
	}
}
