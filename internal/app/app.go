// Package app holds what the worker and the starter share and no other package
// owns: where state lives, how the mesh and its key are opened, how Temporal is
// reached, and how a process logs. It wires; it decides nothing about imports.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
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
	// EnvKeyFile is the file that seals im_secrets.
	EnvKeyFile = "IDENTITYMESH_KEY_FILE"
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

// KeyPath is $IDENTITYMESH_KEY_FILE, or a file in the state folder.
func KeyPath() (string, error) {
	if p := os.Getenv(EnvKeyFile); p != "" {
		return p, nil
	}
	dir, err := StateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "secrets.key"), nil
}

// OpenStore opens the mesh database, creating and migrating it when needed.
func OpenStore(ctx context.Context) (mesh.Store, error) {
	u, err := DatabaseURL()
	if err != nil {
		return nil, err
	}
	return mesh.Open(ctx, u)
}

// OpenSecrets returns the secret store of the mesh database. The key is read, or
// made, when the first secret needs it.
func OpenSecrets(store mesh.Store) (*secrets.TableStore, error) {
	p, err := KeyPath()
	if err != nil {
		return nil, err
	}
	return secrets.NewTableStore(store, secrets.OpenKeys(p)), nil
}

// CheckKey fails when secrets are sealed under a key file that is not there: a new
// key would be made for the next one, and the others would be lost in silence.
func CheckKey(ctx context.Context, store mesh.Secrets) error {
	p, err := KeyPath()
	if err != nil {
		return err
	}
	if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	sealed, err := store.ListSecrets(ctx)
	if err != nil || len(sealed) == 0 {
		return err
	}
	return fmt.Errorf("the key file %s is missing, and %d secrets are sealed under it: put it back (or set %s to where it is); if it is lost, delete them with `starter secret delete REF` and set them anew",
		p, len(sealed), EnvKeyFile)
}
