package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/workflows"
)

// place is where a secret can be. A new kind of credential is a row of [places], a new
// backend one of [elsewhere].
type place struct {
	name string
	// put puts secrets there and returns what must never show: the secret itself, or
	// what of it identifies it.
	put func(w *world, value string) []string
}

// apiToken is a canary in the shape of Okta's API tokens: 00 and forty more.
const apiToken = "00CanaryTokenOfOkta-inIMsecrets_4f1b9c7d2e"

// places are all of them.
var places = []place{
	{"the API token in im_secrets", func(w *world, _ string) []string {
		w.ok(w.starter(apiToken+"\n", "secret", "set", "secret://okta/contoso/apitoken"))
		return []string{apiToken}
	}},
	{"the private key of a service app", func(w *world, _ string) []string {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(w, err)
		jwk, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k1"})
		require.NoError(w, err)
		w.ok(w.starter(string(jwk), "secret", "set", "secret://okta/contoso/privatekey"))
		w.app = &oktasim.App{
			ClientID: "0oacanary1d7", Scopes: []string{"okta.users.read", "okta.groups.read"},
			Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1"}}},
		}
		d, err := key.Bytes()
		require.NoError(w, err)
		return []string{string(d)}
	}},
	{"the key of im_secrets", func(w *world, _ string) []string { return keysetOf(w, filepath.Join(w.stack.Dir, "secrets.key")) }},
	{"the key of the codec", func(w *world, _ string) []string { return keysetOf(w, w.encrypted()) }},
	{"Temporal's API key in a file", func(w *world, v string) []string {
		file := filepath.Join(w.stack.Dir, "temporal.key")
		require.NoError(w, os.WriteFile(file, []byte(v+"\n"), 0o600))
		w.vars = append(w.vars, app.EnvAPIKeyFile+"="+file)
		return []string{v}
	}},
	{"the key of the client certificate", func(w *world, _ string) []string {
		ca, err := stack.NewCA("canary")
		require.NoError(w, err)
		g := newIngress(w, ca)
		file := func(name string) string { return filepath.Join(w.stack.Dir, name) }
		require.NoError(w, os.WriteFile(file("ca.pem"), ca.PEM, 0o600))
		require.NoError(w, ca.IssueFiles("worker", file("tls.crt"), file("tls.key")))
		w.vars = append(w.vars, "TEMPORAL_ADDRESS="+g.addr, "TEMPORAL_TLS_SERVER_CA_CERT_PATH="+file("ca.pem"),
			"TEMPORAL_TLS_CLIENT_CERT_PATH="+file("tls.crt"), "TEMPORAL_TLS_CLIENT_KEY_PATH="+file("tls.key"))
		text, err := os.ReadFile(file("tls.key"))
		require.NoError(w, err)
		block, _ := pem.Decode(text)
		const scalar, length = 36, 32 // of a P-256 key in PKCS #8
		return []string{string(block.Bytes[scalar : scalar+length])}
	}},
	{"the password of a proxy", func(w *world, v string) []string {
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { // echoes what it was sent
			rw.Header().Set("Proxy-Authenticate", r.Header.Get("Proxy-Authorization"))
			rw.WriteHeader(http.StatusProxyAuthRequired)
			_, _ = io.WriteString(rw, v)
		}))
		w.Cleanup(proxy.Close)
		w.vars = append(w.vars, "HTTPS_PROXY=http://canary:"+v+"@"+strings.TrimPrefix(proxy.URL, "http://"))
		return []string{v}
	}},
	{"the URL of the notices", func(w *world, v string) []string { // as of a chat's web hook
		w.vars = append(w.vars, "IDENTITYMESH_NOTIFY_URL="+echoing(w)+"/hooks/"+v+"?key="+v)
		return []string{v}
	}},
	{"the headers of the traces", func(w *world, v string) []string {
		w.vars = append(w.vars, "OTEL_EXPORTER_OTLP_ENDPOINT="+echoing(w), "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+v)
		return []string{v}
	}},
	{"the environment at large", func(w *world, v string) []string { // such as another program's token
		w.vars = append(w.vars, "SOMEBODYS_TOKEN="+v)
		return []string{v}
	}},
}

// echoing is the URL of a server that refuses every request and repeats it.
func echoing(w *world) string {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		said := r.URL.String() + " " + r.Header.Get("Authorization")
		rw.Header().Set("X-Echo", said)
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, said)
	}))
	w.Cleanup(server.Close)
	return server.URL
}

// keysetOf returns the keys of a Tink key file, as bytes.
func keysetOf(w *world, file string) (keys []string) {
	w.Helper()
	text, err := os.ReadFile(file)
	require.NoError(w, err)
	var set struct {
		Key []struct{ KeyData struct{ Value []byte } }
	}
	require.NoError(w, json.Unmarshal(text, &set))
	for _, k := range set.Key {
		keys = append(keys, string(k.KeyData.Value[len(k.KeyData.Value)-32:])) // after the message's head
	}
	return keys
}

// spellings are the forms in which a secret could show: as it is, encoded, escaped, and
// in halves.
func spellings(secret string) []string {
	quoted, _ := json.Marshal(secret) //nolint:errchkjson // a string
	all := []string{
		secret, secret[:len(secret)/2], secret[len(secret)/2:],
		url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret), string(quoted[1 : len(quoted)-1]),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))),
		strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
	}
	for shift := range 3 { // base64 of a text that has it somewhere inside
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			text := enc.EncodeToString([]byte(strings.Repeat(" ", shift) + secret))
			all = append(all, text[4:len(text)-4]) // without what its neighbours change
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// echo answers with the token in every place of an answer, in several spellings.
func echo(status int, contentType string) func(http.ResponseWriter, *http.Request) bool {
	return answer(func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		token := strings.TrimPrefix(auth, "SSWS ")
		h := w.Header()
		for _, name := range []string{"X-Okta-Request-Id", "Www-Authenticate", "Set-Cookie", "X-Echo", "Server", "Date"} {
			h.Set(name, auth)
		}
		h.Set("Content-Type", contentType)
		h.Set("Location", "http://evil.example/?token="+token)
		w.WriteHeader(status)
		if contentType != "application/json" {
			_, _ = fmt.Fprintf(w, "<html>%s and %s, %q, %s</html>", auth, token, token, url.QueryEscape(token))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"errorCode": "E0000011 " + token, "errorSummary": "Invalid token provided: " + auth, "errorLink": token, "errorId": token,
			"errorCauses": []any{map[string]string{"errorSummary": "the header was " + auth}, map[string]string{"errorSummary": url.QueryEscape(auth)}},
		})
	})
}

// echoJWTs answers a path as a fault of oktaFaults does, with the assertion, the proof or
// the access token that was sent in the place of an API token.
func echoJWTs(fault, path string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		sent := r.Header.Get("Authorization") + r.Header.Get("DPoP")
		if err := r.ParseForm(); err == nil {
			sent += r.Form.Get("client_assertion")
		}
		as := r.Clone(r.Context())
		as.URL.Path = "/api/v1/users"
		as.Header.Set("Authorization", sent)
		return oktaFaults[fault](w, as)
	}
}

// oktaFaults are the answers of an org under which a run fails.
var oktaFaults = map[string]func(http.ResponseWriter, *http.Request) bool{
	"401":       echo(401, "application/json"),
	"403":       echo(403, "application/json"),
	"403 HTML":  echo(403, "text/html"),
	"400":       echo(400, "application/json"),
	"500":       echo(500, "application/json"),
	"502 HTML":  echo(502, "text/html"),
	"redirect":  echo(302, "text/html"),
	"200 HTML":  echo(200, "text/html"),
	"200 error": echo(200, "application/json"),
	"429": answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "600")
		echo(429, "application/json")(w, r)
	}),
	"bad JSON": answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `[{"id":"%s`+"\x01"+`",`, r.Header.Get("Authorization"))
	}),
	"bad user": answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `[{"id":%q,"status":"ACTIVE"}]`, strings.TrimPrefix(r.Header.Get("Authorization"), "SSWS "))
	}),
	"next link": answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Link", `<https://evil.example/api/v1/users?after=`+strings.TrimPrefix(r.Header.Get("Authorization"), "SSWS ")+`>; rel="next"`)
		_, _ = io.WriteString(w, "["+oneUser+"]")
	}),
	"cut": answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
}

// badFiles are connector files with the token where it does not belong.
var badFiles = map[string]string{
	"whole file":    `TOKEN`,
	"broken":        `{"Name": "x", TOKEN}`,
	"just a name":   `{"Name":"TOKEN","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"just a domain": `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"TOKEN"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"part of a ref": `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://okta/TOKEN/apitoken"}}`,
	"name":          `{"Name":"TOKEN!","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"type":          `{"Name":"x","Type":"TOKEN","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"domain":        `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"https://TOKEN@x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"reference":     `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"TOKEN"}}`,
	"half a ref":    `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://TOKEN"}}`,
	"mode":          `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"TOKEN","ApiKey":"secret://a/b"}}`,
	"unknown field": `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiToken":"TOKEN"}}`,
	"a field":       `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com","TOKEN":1},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"a number":      `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com","PageSize":"TOKEN"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"auth is text":  `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":"TOKEN"}`,
	"config text":   `{"Name":"x","Type":"Okta","ConfigJson":"TOKEN","AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
	"duration":      `{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com","HoldTimeLimit":"TOKEN"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`,
}

// badCommands are command lines with the token in the wrong place.
var badCommands = [][]string{
	{"TOKEN"}, {"--TOKEN"}, {"--api-token=TOKEN"}, {"secret", "TOKEN"}, {"secret", "set", "TOKEN"},
	{"secret", "set", "secret://okta/contoso/apitoken", "TOKEN"}, {"secret", "set", "secret://okta/contoso/apitoken=TOKEN"},
	{"secret", "delete", "TOKEN"}, {"secret", "list", "TOKEN"}, {"connector", "apply", "TOKEN"}, {"connector", "apply", "-f", "TOKEN"},
	{"connector", "show", "TOKEN"}, {"connector", "check", "TOKEN"}, {"connector", "check", "TOKEN", "-o", "json"}, {"run", "TOKEN"},
	{"connector", "init", "--domain", "TOKEN"}, {"connector", "init", "--domain", "x.okta.com", "--name", "TOKEN"},
	{"secret", "set", "secret://okta/TOKEN/apitoken"}, {"run", "NAME", "--mode", "TOKEN"}, {"run", "NAME", "-o", "TOKEN"}, {"watch", "TOKEN"},
	{"approve", "TOKEN"}, {"watermark", "set", "NAME", "TOKEN"}, {"schedule", "apply", "NAME", "--every", "TOKEN"},
	{"codec", "key", "use", "TOKEN"}, {"codec", "serve", "--addr", "TOKEN"}, {"codec", "serve", "--token-file", "TOKEN"},
}

// TestCanary puts a secret in every place, fails in every way, and searches everything
// that comes out: what the processes print, the database, the histories, the metrics.
func TestCanary(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2), Token: apiToken}, nil)
	forbidden := map[string][]string{}
	for i, p := range places {
		value := fmt.Sprintf("Canary%02d-%s", i, strings.Repeat(string(rune('a'+i)), 8)+"_0123456789")
		for _, secret := range p.put(w, value) {
			forbidden[p.name] = append(forbidden[p.name], spellings(secret)...)
		}
	}
	out := &transcript{world: w}
	worker, err := w.stack.Worker(t.Context(), w.env(), "--log-level", "debug")
	require.NoError(t, err)
	require.Equal(t, "Completed", out.wait(out.begin(w)).Outcome, "the token is the right one")

	// Every failing run at once; one org for each, so that they do not disturb each other.
	runs := map[string]string{}
	for name, fault := range oktaFaults {
		s := w.sibling(oktasim.Config{Org: generated(t, 5, 1), Token: apiToken}, nil)
		s.sim.Intercept(fault)
		runs[name] = out.begin(s)
	}
	refusing := httptest.NewUnstartedServer(http.NotFoundHandler())
	refusing.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
	refusing.StartTLS()
	t.Cleanup(refusing.Close)
	for name, domain := range map[string]string{
		"TLS": strings.TrimPrefix(refusing.URL, "https://"), "proxy": "contoso.okta.com", "no such file": "127.0.0.1:1",
	} {
		s := w.sibling(oktasim.Config{Org: generated(t, 5, 1), Token: apiToken}, map[string]any{"OrgDomain": domain, "InsecureLoopback": false})
		runs[name] = out.begin(s)
	}
	// The same with a service app, at the API and at the token endpoint.
	app := *w
	app.auth = map[string]any{"Mode": "OAuth", "ClientId": w.app.ClientID, "PrivateKey": "secret://okta/contoso/privatekey"}
	for _, name := range []string{"401", "403", "400", "redirect", "200 HTML"} {
		for _, path := range []string{"/api/v1/users", "/oauth2/v1/token"} {
			s := app.sibling(oktasim.Config{Org: generated(t, 5, 1), Apps: []oktasim.App{*w.app}}, nil)
			s.sim.Intercept(echoJWTs(name, path))
			runs["OAuth "+name+" "+path] = out.begin(s)
		}
	}
	for name, file := range badFiles {
		r := w.starter(strings.ReplaceAll(file, "TOKEN", apiToken), "connector", "apply", "-f", "-")
		require.NotZero(t, r.Code, name)
		out.add("apply "+name, r)
	}
	for _, args := range badCommands {
		args = slices.Clone(args)
		for i := range args {
			args[i] = strings.ReplaceAll(strings.ReplaceAll(args[i], "TOKEN", apiToken), "NAME", w.name)
		}
		r := w.starter("", args...)
		require.NotZero(t, r.Code, args)
		out.add(fmt.Sprint(args), r)
	}
	for name, run := range runs {
		row := out.wait(run)
		require.Equal(t, "Failed", row.Outcome, name)
		require.NotEmpty(t, row.Error, name)
	}
	out.text("the metrics", metricsOf(w, worker))
	out.panics()

	// The worker crashes in the middle of a run, with a dump of every goroutine.
	answers := w.hold(0, listing)
	out.begin(w)
	<-answers.Held
	require.NoError(t, syscall.Kill(worker.Pid(), syscall.SIGQUIT))
	<-worker.Done()
	answers.Open()
	require.Contains(t, worker.Output(), "goroutine ")
	require.Contains(t, worker.Output(), `"level":"debug"`)
	out.text("the worker", worker.Output())
	out.text("the Temporal server", temporalProcess.Output())
	out.database()
	out.histories(len(oktaFaults))
	out.search(forbidden)
	for _, part := range []string{"apply a number", "the worker", "mesh.db", "mesh.db-wal", "im_runs", "im_secrets", "history 1", "visibility 1", "the metrics", "a panic"} {
		require.NotEmpty(t, out.texts[part], "%s was searched", part)
	}
}

// search fails where anything shows a form of a secret, or a JWT.
func (o *transcript) search(forbidden map[string][]string) {
	o.Helper()
	for where, text := range o.texts {
		if i := jwtText.FindStringIndex(text); i != nil {
			o.Errorf("%s shows a JWT: …%q", where, text[max(0, i[0]-200):i[1]])
		}
		for secret, forms := range forbidden {
			for _, form := range forms {
				if i := strings.Index(text, form); i >= 0 {
					o.Errorf("%s shows %s as %q:\n…%q…", where, secret, form, text[max(0, i-200):min(len(text), i+len(form)+50)])
				}
			}
		}
	}
}

// TestCanaryIsFound shows that the search finds each spelling.
func TestCanaryIsFound(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"SSWS " + apiToken, apiToken[:21] + "…", "…" + apiToken[21:], hex.EncodeToString([]byte("a" + apiToken)),
		base64.StdEncoding.EncodeToString([]byte("SSWS " + apiToken)), base64.RawURLEncoding.EncodeToString([]byte("x:" + apiToken + "!")),
	} {
		require.True(t, slices.ContainsFunc(spellings(apiToken), func(form string) bool { return strings.Contains(text, form) }), text)
	}
}

// transcript is all that came out, by where.
type transcript struct {
	*world

	mu    sync.Mutex
	texts map[string]string
}

func (o *transcript) text(where, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.texts == nil {
		o.texts = map[string]string{}
	}
	o.texts[where] += text
}

func (o *transcript) add(where string, r stack.Result) { o.text(where, r.Stdout+"\n"+r.Stderr+"\n") }

// begin starts a full import.
func (o *transcript) begin(w *world) (run string) {
	o.Helper()
	r := w.starter("", "run", w.name, "--mode", "full")
	o.add("run "+w.name, r)
	var started struct{ RunID string }
	decode(w, w.ok(r), &started)
	return started.RunID
}

// wait waits for the end of a run and looks at it as an operator would.
func (o *transcript) wait(run string) runRow {
	o.Helper()
	row := o.world.wait(run)
	for _, args := range [][]string{{"watch", run}, {"runs", "show", run}} {
		o.add("after "+run, o.starter("", args...))
	}
	return row
}

// panics has an activity of a worker in this process panic while it holds the token.
func (o *transcript) panics() {
	o.Helper()
	s := *o.world
	s.queue += "-panic"
	payloads, err := codec.New(filepath.Join(o.stack.Dir, "codec.key"), "")
	require.NoError(o, err)
	var said syncBuffer
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), &said, zap.DebugLevel))
	options := client.Options{HostPort: o.stack.TemporalAddr, Logger: app.TemporalLogger(logger)}
	payloads.Apply(&options)
	temporal, err := client.Dial(options)
	require.NoError(o, err)
	defer temporal.Close()
	var calls atomic.Int64
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		if calls.Add(1) == 1 {
			panic("the transport broke")
		}
		rec := httptest.NewRecorder()
		oktaFaults["401"](rec, r)
		return rec.Result(), nil
	})
	worker := sdkworker.New(temporal, s.queue, sdkworker.Options{})
	workflows.Register(worker)
	activities.Register(worker, activities.New(activities.Config{
		Store: o.store(), Secrets: secrets.NewTableStore(app.SecretTable(o.store()), secrets.OpenKeys(secrets.KeyFile(filepath.Join(o.stack.Dir, "secrets.key")))),
		HTTP: &http.Client{Transport: transport},
	}))
	require.NoError(o, worker.Start())
	defer worker.Stop()
	row := o.wait(o.begin(&s))
	require.Equal(o, "Failed", row.Outcome)
	require.Contains(o, said.String(), "the transport broke")
	o.text("a panic", said.String())
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// syncBuffer is a log in memory.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// Sync implements [zapcore.WriteSyncer].
func (s *syncBuffer) Sync() error { return nil }

// String is what was logged so far.
func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// database dumps every table as text, and the files as they are.
func (o *transcript) database() {
	o.Helper()
	path := filepath.Join(o.stack.Dir, "mesh.db")
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	require.NoError(o, err)
	defer db.Close() //nolint:errcheck // only read
	tables := queryTexts(o, db, `SELECT name FROM sqlite_master WHERE type = 'table'`)
	require.NotEmpty(o, tables)
	for _, t := range tables {
		o.text(t, strings.Join(queryTexts(o, db, `SELECT * FROM "`+t+`"`), "\n")) // a name from the schema
	}
	for _, file := range []string{"mesh.db", "mesh.db-wal"} {
		text, err := os.ReadFile(filepath.Join(o.stack.Dir, file))
		require.NoError(o, err)
		o.text(file, string(text))
	}
}

// queryTexts returns rows as text.
func queryTexts(o *transcript, db *sql.DB, query string) (texts []string) {
	o.Helper()
	rows, err := db.QueryContext(o.Context(), query)
	require.NoError(o, err)
	defer rows.Close() //nolint:errcheck // read to its end
	columns, err := rows.Columns()
	require.NoError(o, err)
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new([]byte)
		}
		require.NoError(o, rows.Scan(values...))
		var line []string
		for _, v := range values {
			if b, ok := v.(*[]byte); ok {
				line = append(line, string(*b))
			}
		}
		texts = append(texts, strings.Join(line, " | "))
	}
	require.NoError(o, rows.Err())
	return texts
}

// histories exports every workflow of the world, as Temporal has it and decrypted, and
// what its index says of it. There are more than runs.
func (o *transcript) histories(runs int) {
	o.Helper()
	payloads, err := codec.New(filepath.Join(o.stack.Dir, "codec.key"), "")
	require.NoError(o, err)
	n := 0
	for token := []byte(nil); n == 0 || token != nil; {
		page, err := o.client().ListWorkflow(o.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: "TaskQueue = '" + o.queue + "' OR TaskQueue = '" + o.queue + "-panic'", NextPageToken: token,
		})
		require.NoError(o, err)
		for _, e := range page.GetExecutions() {
			n++
			h := events(o.world, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
			o.text(fmt.Sprint("history ", n), string(historyJSON(o.world, h)))
			decrypt(o.world, h, payloads)
			o.text(fmt.Sprint("history ", n), string(readable(o.world, h)))
			o.text(fmt.Sprint("visibility ", n), e.String())
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			token = nil
		}
	}
	require.Greater(o, n, runs, "every run")
}
