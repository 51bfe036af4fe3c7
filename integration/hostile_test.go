package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// hostileMemory is what a worker may take of memory while it is sent gigabytes: two
// pages at their bound (64 MiB each) and what the garbage collector leaves lying about.
const hostileMemory = 300 << 20

// gigabyte answers every request that it is for with an opening bracket and then the
// row again and again, until a gigabyte is sent or the client has had enough.
func gigabyte(is func(*http.Request) bool, row string, zipped bool) func(http.ResponseWriter, *http.Request) bool {
	lead, chunk := []byte("["), bytes.Repeat([]byte(row), 1+(1<<20)/len(row))
	size := len(chunk)
	if zipped {
		lead, chunk = zip(lead), zip(chunk)
	}
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !is(r) {
			return false
		}
		if zipped {
			w.Header().Set("Content-Encoding", "gzip")
		}
		_, err := w.Write(lead)
		for sent := 0; err == nil && sent < 1<<30; sent += size {
			_, err = w.Write(chunk)
		}
		return true
	}
}

// zip is one member of a gzip file; a file may have many.
func zip(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // memory does not fail
	_ = z.Close()
	return b.Bytes()
}

// TestGigabytesTakeBoundedMemory has a worker import from an org that answers with
// gigabytes, plain and as gzip bombs: each run says why it failed, nothing changes, and
// the worker stays small. Its binary is built without the race detector.
func TestGigabytesTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads the peak of the memory from /proc")
	}
	w := newWorld(t, oktasim.Config{Org: generated(t, 150, 5)}, nil)
	worker := w.worker()
	w.completed()
	objects, feed := w.objects(), w.changes(0)
	user := func(profile string) string {
		return `{"id":"00u1","status":"ACTIVE","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{` + profile + "}},"
	}
	many := "" // attributes that take many times their text
	for i := range 1000 {
		many += fmt.Sprintf(`,"a%d":[[],[],[]]`, i)
	}
	usersList := func(r *http.Request) bool { return r.URL.Path == "/api/v1/users" }
	groupsList := func(r *http.Request) bool { return r.URL.Path == "/api/v1/groups" }
	members := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/users") && !usersList(r) }
	for _, tc := range []struct {
		name   string
		list   func(*http.Request) bool
		row    string
		zipped bool
		err    string
	}{
		{"users with long texts", usersList, user(`"title":"` + strings.Repeat("x", 200_000) + `"`), false, "lower PageSize"},
		{"users with long texts, zipped", usersList, user(`"title":"` + strings.Repeat("x", 200_000) + `"`), true, "lower PageSize"},
		{"users with many attributes", usersList, user(`"a":1` + many), true, "more than 64 MiB of memory"},
		{"small users", usersList, user(""), true, "more than 10000 rows"},
		{"one text", usersList, `{"id":"00u1","x":"` + strings.Repeat("x", 4<<20), true, "more than 1 MiB"},
		{"nothing but brackets", groupsList, strings.Repeat("[", 1<<20), true, "nests deeper"},
		{"nothing but blanks", groupsList, strings.Repeat(" ", 1<<20), true, "more than 1 MiB"},
		{"small members", members, `{"id":"00u1","status":"ACTIVE"},`, true, "more than 10000 rows"},
		{"large members", members, `{"id":"00u1","status":"ACTIVE","profile":{"x":"` + strings.Repeat("x", 500_000) + `"}},`, true, "larger than 64 MiB"},
	} {
		w.sim.Intercept(gigabyte(tc.list, tc.row, tc.zipped))
		row, _ := w.run()
		require.Equal(t, "Failed", row.Outcome, tc.name)
		require.Contains(t, row.Error, tc.err, tc.name)
	}
	w.sim.Intercept(func(rw http.ResponseWriter, r *http.Request) bool { // a refusal of a gigabyte
		if !usersList(r) {
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		for n := 0; n < 1<<10; n++ {
			if _, err := io.WriteString(rw, strings.Repeat("x", 1<<20)); err != nil {
				break
			}
		}
		return true
	})
	row, _ := w.run()
	require.Contains(t, row.Error, "403")

	u, err := worker.Usage()
	require.NoError(t, err)
	t.Logf("peak memory: %d MB", u.PeakRSS>>20)
	require.LessOrEqual(t, u.PeakRSS, int64(hostileMemory))
	w.sim.Intercept(nil)
	w.completed()
	requireSame(t, objects, w.objects())
	requireSameFeed(t, feed, w.changes(0))
}
