package mesh

// TinySteps makes Settle work in the smallest transactions, so that tests stop it
// at every boundary.
func (s *engine) TinySteps() { s.edgeWindow, s.indexWindow, s.settleChunk, s.copyChunk = 2, 2, 2, 2 }

// InspectSQLite is Inspect of a file with another patience.
var InspectSQLite = inspectSQLite

// UseDriver has every store opened from now on use another driver of SQLite.
func UseDriver(name string) { driverName = name }

// ReplaceSQLite puts a file back to a backup and tells nobody.
var ReplaceSQLite = replaceSQLite
