package integration

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

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
		return g.each(n, func(_ int, id string) error { return g.org.SetStatus(id, oktasim.Deprovisioned) })
	},
	"hard-delete-users": func(g *guide, n string) error {
		return g.each(n, func(_ int, id string) error { return g.org.DeleteUser(id) })
	},
	// Calls a minute and bucket; 0 is no limit.
	"rate-limit": func(g *guide, n string) error {
		rate, err := strconv.Atoi(n)
		g.sim.SetLimits(rate, 0)
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
