package mesh_test

import (
	"testing"

	"github.com/identitymesh/okta-connector/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
