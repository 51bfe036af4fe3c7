package mesh

import "errors"

// TinySteps makes Settle work in the smallest transactions, so that tests stop it
// at every boundary.
func (s *engine) TinySteps() { s.edgeWindow, s.indexWindow, s.settleChunk, s.copyChunk = 2, 2, 2, 2 }

// InspectSQLite is Inspect of a file with another patience.
var InspectSQLite = inspectSQLite

// UseDriver has every store opened from now on use another driver of SQLite.
func UseDriver(name string) { driverName = name }

// ReplaceSQLite puts a file back to a backup and tells nobody.
var ReplaceSQLite = replaceSQLite

// WatchSyncs has f told of each folder that is synced from now on, and fail it.
func WatchSyncs(f func(folder string) error) (undo func()) {
	before := syncFolder
	syncFolder = func(folder string) error { return errors.Join(f(folder), before(folder)) }
	return func() { syncFolder = before }
}
