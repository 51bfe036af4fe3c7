package mesh_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/identitymesh/okta-connector/internal/pgtest"
)

// TestMain stops the PostgreSQL server that tests have started, and fails when a statement of
// SQLite held a value. Benchmarks are not recorded: they measure the driver alone.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.bench"); f == nil || f.Value.String() == "" {
		recordStatements()
	}
	code := m.Run()
	if err := pgtest.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the tests' PostgreSQL:", err)
		code = 1
	}
	if found := seen.mixed(); len(found) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: SQL holds values, which must be parameters:\n"+strings.Join(found, "\n"))
		code = 1
	}
	os.Exit(code)
}
