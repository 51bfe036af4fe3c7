// Package workflows orchestrates imports, deterministically: it decides what is
// read, waited for and settled, and knows activities by method reference only.
package workflows

import "go.temporal.io/sdk/worker"

// Register registers every workflow, for the worker, the tests and the replayer.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflow(ImportWorkflow)
	r.RegisterWorkflow(ReconcileWorkflow)
	r.RegisterWorkflow(HoldWorkflow)
}
