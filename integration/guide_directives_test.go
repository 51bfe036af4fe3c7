package integration

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// rateWindowLeft is what is left of Okta's minute when the guide meets a rate limit.
const rateWindowLeft = 15 * time.Second

// guideDirectives are what happens to the guide's reader: in Okta, mostly.
var guideDirectives = map[string]func(g *guide, arg string) error{
	// An administrator makes an API token and saves it as token.txt, as Step 1 says.
	"new-token": func(g *guide, token string) error {
		g.sim.SetToken(token)
		return os.WriteFile(filepath.Join(g.home, "token.txt"), []byte(token+"\n"), 0o600)
	},
	"revoke-token": func(g *guide, _ string) error {
		g.sim.SetToken("nobody-has-it")
		return nil
	},
	// The administrator loses the right to a list, "" gives it back.
	"forbid": func(g *guide, path string) error {
		if path == "" {
			g.sim.Intercept(nil)
			return nil
		}
		g.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != path {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errorCode":"E0000006","errorSummary":"You do not have permission to perform the requested action","errorLink":"E0000006","errorId":"oae","errorCauses":[]}`)
			return true
		})
		return nil
	},
	"edit-users": func(g *guide, n string) error {
		return g.each(n, func(i int, id string) error {
			return g.org.UpdateUser(id, map[string]any{"title": fmt.Sprint("Title ", i, " ", g.sim.Stats().Total)})
		})
	},
	"deactivate-users": func(g *guide, n string) error {
		g.deactivated = nil
		return g.each(n, func(_ int, id string) error {
			g.deactivated = append(g.deactivated, id)
			return g.org.SetStatus(id, oktasim.Deprovisioned)
		})
	},
	// Somebody notices, and undoes it.
	"reactivate-users": func(g *guide, _ string) error {
		for _, id := range g.deactivated {
			if err := g.org.SetStatus(id, oktasim.Active); err != nil {
				return err
			}
		}
		return nil
	},
	"hard-delete-users": func(g *guide, n string) error {
		return g.each(n, func(_ int, id string) error { return g.org.DeleteUser(id) })
	},
	// The service app, or the administrator, loses his role: every list is empty.
	"role-lost": func(g *guide, _ string) error { return g.sim.SetFault(oktasim.Fault{Name: oktasim.FaultRoleLost}) },
	"role-back": func(g *guide, _ string) error { g.sim.ClearFaults(); return nil },
	// The database's server stops, and starts again.
	"database-down": func(g *guide, _ string) error { return g.database.Halt(true) },
	"database-up":   func(g *guide, _ string) error { return g.database.Launch(g.Context(), "fsync=off") },
	// Calls a minute and bucket; 0 is no limit. The minute ends in some seconds, so that the
	// test need not wait long.
	"rate-limit": func(g *guide, n string) error {
		rate, err := strconv.Atoi(n)
		g.sim.SetLimits(rate, 0)
		if rate == 0 {
			return err
		}
		g.clock.Advance(time.Minute)
		for _, bucket := range []string{"/api/v1/users", "/api/v1/groups"} {
			_, serr := g.sim.Spend(bucket, 1)
			err = errors.Join(err, serr)
		}
		g.clock.Advance(time.Minute - rateWindowLeft)
		return err
	},
}

// direct carries a directive out.
func (g *guide) direct(text string) error {
	name, arg, _ := strings.Cut(text, " ")
	do, ok := guideDirectives[name]
	if !ok {
		return fmt.Errorf("unknown directive %q", text)
	}
	return do(g, strings.TrimSpace(arg))
}

// each does something to the first n active users.
func (g *guide) each(n string, do func(i int, id string) error) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	active := g.org.UserIDsByStatus(oktasim.Active)
	if len(active) < count {
		return fmt.Errorf("there are %d active users", len(active))
	}
	slices.Sort(active)
	for i, id := range active[:count] {
		if err := do(i, id); err != nil {
			return err
		}
	}
	return nil
}

// quietLog drops what a server says of connections that end.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
