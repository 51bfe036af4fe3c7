// Package deployment is what the worker and the starter know of Temporal's worker
// deployments: which build a worker is, and which workers get the tasks of a task queue.
package deployment

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Environment variables, as Temporal's worker controller for Kubernetes sets them.
const (
	EnvName    = "TEMPORAL_DEPLOYMENT_NAME"
	EnvBuildID = "TEMPORAL_WORKER_BUILD_ID"
)

// Version is one build of a worker deployment. The zero value stands for the workers
// without a deployment.
type Version struct {
	Name    string `json:"deployment"`
	BuildID string `json:"buildId"`
}

// IsZero tells the workers without a deployment.
func (v Version) IsZero() bool { return v == Version{} }

// String is the version for people.
func (v Version) String() string {
	if v.IsZero() {
		return "workers without a deployment"
	}
	return fmt.Sprintf("build %s of deployment %s", v.BuildID, v.Name)
}

// unstamped is what Go calls a build that nobody gave a version.
const unstamped = "(devel)"

// Own is the version of this worker: what the flags say, else the environment; build is
// the build id where neither names one. Without a deployment the worker has none, and a
// build id alone is an error: it would look as if versioning were on.
func Own(name, buildID, build string) (Version, error) {
	v := Version{Name: cmp.Or(name, os.Getenv(EnvName)), BuildID: cmp.Or(buildID, os.Getenv(EnvBuildID))}
	if v.Name == "" {
		if v.BuildID != "" {
			return Version{}, fmt.Errorf("a build id (%q) without a deployment: set --deployment or %s, too, or unset %s", v.BuildID, EnvName, EnvBuildID)
		}
		return Version{}, nil
	}
	if err := CheckName(v.Name); err != nil {
		return Version{}, err
	}
	if v.BuildID == "" && build == unstamped {
		return Version{}, fmt.Errorf("deployment %s: this build has no version, so that two of them could not be told apart: set --build-id or %s", v.Name, EnvBuildID)
	}
	v.BuildID = cmp.Or(v.BuildID, build)
	if err := CheckBuildID(v.BuildID); err != nil {
		return Version{}, err
	}
	return v, nil
}

// maxText is shorter than what Temporal takes with its usual limit for ids, 480.
const maxText = 255

// CheckName says whether Temporal takes a deployment's name.
func CheckName(name string) error {
	if strings.ContainsAny(name, ".:") {
		return fmt.Errorf("deployment %q: Temporal takes no name with a dot or a colon", name)
	}
	if err := check(name); err != nil {
		return fmt.Errorf("deployment %q: %w", name, err)
	}
	return nil
}

// CheckBuildID says whether Temporal takes a build id.
func CheckBuildID(id string) error {
	if err := check(id); err != nil {
		return fmt.Errorf("build id %q: %w", id, err)
	}
	return nil
}

func check(text string) error {
	switch {
	case text == "":
		return errors.New("it is empty")
	case strings.HasPrefix(text, "__"):
		return errors.New(`names that begin with "__" are Temporal's own`)
	case len(text) > maxText:
		return fmt.Errorf("it is longer than %d bytes", maxText)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return errors.New("it holds a blank or a control character")
	}
	return nil
}
