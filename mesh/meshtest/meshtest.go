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
	for _, group := range []map[string]func(t *testing.T, b *bench){
		connectorTests, leaseTests, progressTests, objectTests, externalIDTests,
		memberTests, sweepTests, settleTests, runTests, readTests,
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, newBench(t.Context(), t, open(t), "contoso"))
			})
		}
	}
	t.Run("Secrets", func(t *testing.T) {
		t.Parallel()
		testSecrets(t, open(t))
	})
	t.Run("Property", func(t *testing.T) {
		t.Parallel()
		testProperty(t, open(t))
	})
}
