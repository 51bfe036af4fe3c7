package okta

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestErrorsHoldNobodysData answers with errors that quote people: errors travel
// through logs and Temporal (design invariant 7).
func TestErrorsHoldNobodysData(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a cause":       `{"errorCode":"E0000001","errorSummary":"Api validation failed: alice.smith@example.com","errorCauses":[{"errorSummary":"login: alice.smith@example.com exists"}]}`,
		"half of a row": `alice.smith@example.com","firstName":"Alice","lastName":"Smith"}]`,
	} {
		for _, status := range []int{http.StatusBadRequest, http.StatusBadGateway, http.StatusOK} {
			c, _ := setup(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			})
			_, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
			require.Error(t, err, name)
			require.NotContains(t, strings.ToLower(err.Error()), "alice", name)
		}
	}
}

// TestACutBodyShowsNoPartOfTheToken echoes the token across the place where an error
// body is cut off.
func TestACutBodyShowsNoPartOfTheToken(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "SSWS ")
		_, _ = w.Write([]byte(strings.Repeat(" ", maxErrorBodyBytes-len(token)+2) + token))
	})
	_, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
	require.Error(t, err)
	require.NotContains(t, err.Error(), canary[:10])
}
