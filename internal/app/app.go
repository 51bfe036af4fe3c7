// Package app holds what the worker and the starter share and no other package
// owns: where state lives, how the mesh and its key are opened, how Temporal is
// reached, and how a process logs. It wires; it decides nothing about imports.
package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/identitymesh/okta-connector/mesh"
)

// Version is set by the build (-ldflags "-X …/internal/app.Version=v1.2.3").
var Version = ""

// VersionString returns Version, or what the Go toolchain knows of the build.
func VersionString() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Environment variables of the product. Temporal's own are those of its tools
// (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, …).
const (
	// EnvDB is the mesh database: sqlite:///path/to/file or postgres://….
	EnvDB = "IDENTITYMESH_DB"
	// EnvTaskQueue is the Temporal task queue that the worker polls.
	EnvTaskQueue = "IDENTITYMESH_TASK_QUEUE"
)

// StateDir is where the product keeps its state unless told otherwise:
// $XDG_STATE_HOME/identitymesh, or ~/.local/state/identitymesh.
func StateDir() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find a state folder: %w; set XDG_STATE_HOME or %s", err, EnvDB)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "identitymesh"), nil
}

// DatabaseURL is $IDENTITYMESH_DB, or an SQLite file in the state folder.
func DatabaseURL() (string, error) {
	if u := os.Getenv(EnvDB); u != "" {
		return u, nil
	}
	dir, err := StateDir()
	if err != nil {
		return "", err
	}
	return "sqlite://" + filepath.ToSlash(filepath.Join(dir, "mesh.db")), nil
}

// DatabaseExposed is what [mesh.Exposed] says of the mesh database.
func DatabaseExposed() string {
	u, err := DatabaseURL()
	if err != nil {
		return ""
	}
	return mesh.Exposed(u)
}

// OpenStore opens the mesh database, creating and migrating it when needed.
func OpenStore(ctx context.Context) (mesh.Store, error) {
	u, err := DatabaseURL()
	if err != nil {
		return nil, err
	}
	return mesh.Open(ctx, u)
}

// InspectStore looks at the mesh database without creating or migrating it.
func InspectStore(ctx context.Context) (mesh.Inspection, error) {
	u, err := DatabaseURL()
	if err != nil {
		return mesh.Inspection{}, err
	}
	return mesh.Inspect(ctx, u)
}
