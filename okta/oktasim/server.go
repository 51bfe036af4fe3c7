package oktasim

import (
	"bufio"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultToken is the SSWS token that a [Server] accepts unless told otherwise.
const DefaultToken = "oktasim-token" // #nosec G101 -- the simulator's public default

// DefaultSearchCap is how many rows a search gives out, as third parties report
// of Okta (facts.md §1). It ends without an error.
const DefaultSearchCap = 50_000

// maxBody bounds a request's body.
const maxBody = 1 << 20

// Config says how a [Server] behaves. Only Org is needed.
type Config struct {
	Org         *Org             // required; its clock becomes the server's Now
	Token       string           // the accepted SSWS token; "" is DefaultToken
	Apps        []App            // the org's OAuth service apps
	Latency     time.Duration    // waited before every API answer
	Rate        int              // requests per minute and bucket; 0 limits nothing; see SetLimits
	Concurrency int              // requests at one time, 429 above; 0 limits nothing (Okta: 75); see SetLimits
	Now         func() time.Time // the clock of stamps, Date, lag and rate windows; nil is Clock, else the org's own
	Clock       *Clock           // a clock that the control API may move; nil leaves Now alone
	// TokenLifetime is how long an access token of Apps lives; 0 is DefaultTokenLifetime.
	TokenLifetime time.Duration
	NonceOnAPI    bool         // see RequireNonce
	SearchCap     int          // rows after which a search ends without a next link; 0 is DefaultSearchCap
	Control       bool         // answer the control API below /-/, without a token; never where others can reach it
	Log           *slog.Logger // one debug line per request, without query or token; nil logs nothing
}

// Server answers as Okta's Management API does. It is an [http.Handler]. Make
// one with [New].
type Server struct {
	cfg       Config
	token     atomic.Pointer[string]
	oauth     *oauth
	limiter   rateLimiter
	count     counters
	intercept atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	faults    faults
	buffers   sync.Pool
}

// New returns a server of cfg.Org. It panics when there is none.
func New(cfg Config) *Server {
	if cfg.Org == nil {
		panic("oktasim: New needs a Config with an Org")
	}
	if cfg.Token == "" {
		cfg.Token = DefaultToken
	}
	if cfg.SearchCap <= 0 {
		cfg.SearchCap = DefaultSearchCap
	}
	if cfg.Now == nil && cfg.Clock != nil {
		cfg.Now = cfg.Clock.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Org.mu.Lock()
	if cfg.Now == nil {
		cfg.Now = cfg.Org.now
	}
	cfg.Org.now = cfg.Now
	cfg.Org.mu.Unlock()
	s := &Server{cfg: cfg, oauth: newOAuth(cfg), limiter: rateLimiter{limit: cfg.Rate, concurrency: cfg.Concurrency}}
	s.SetToken(cfg.Token)
	return s
}

// SetToken makes this the accepted SSWS token, and revokes the one before.
func (s *Server) SetToken(token string) { s.token.Store(&token) }

// Stats returns a copy of the counts.
func (s *Server) Stats() Stats { return s.count.snapshot() }

// ResetStats sets the counts to zero; requests under way stay in MaxInFlight.
func (s *Server) ResetStats() { s.count.reset() }

// Intercept sets a function that sees every API request before the org answers
// it: after the counting, the token and the rate limit. When it returns true it
// has answered; what it wrote stands, headers included, and nothing is added. A
// panic with [http.ErrAbortHandler] cuts the connection. nil removes it.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) (handled bool)) {
	if f == nil {
		s.intercept.Store(nil)
		return
	}
	s.intercept.Store(&f)
}

// call is one request on its way through the server.
type call struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	base  string   // scheme and host of the request, the start of every link
	ids   []string // the path's parameters
	grant *grant   // of a service app; nil for an API token
}

func (c *call) org() *Org { return c.s.cfg.Org }

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_sim/") || r.URL.Path == "/_sim" {
		s.serveSim(w, r)
		return
	}
	if s.cfg.Control && strings.HasPrefix(r.URL.Path, controlPath) {
		s.serveControl(w, r)
		return
	}
	rt, ids := match(r)
	began := time.Now()
	rec := &recorder{ResponseWriter: w}
	inFlight := s.count.begin(rt.endpoint(r.Method))
	defer func() {
		s.count.end(rec.status)
		s.cfg.Log.DebugContext(r.Context(), "request", "endpoint", rt.endpoint(r.Method), "status", rec.status, "duration", time.Since(began))
	}()

	base := "http://"
	if r.TLS != nil {
		base = "https://"
	}
	c := &call{s: s, w: rec, r: r, base: base + r.Host, ids: ids}
	switch err := s.serve(c, rt, inFlight).(type) { //nolint:errorlint // the server's own errors, none is wrapped
	case nil:
	case *challenge:
		err.write(c)
	case *oauthError:
		err.write(c)
	default:
		c.writeError(err)
	}
}

func (s *Server) serve(c *call, rt *route, inFlight int) error {
	s.setHeaders(c.w.Header())
	if s.limiter.crowded(inFlight) {
		// "The first two header values are always 0 for concurrent rate limit
		// errors", the third is a suggestion (facts.md §5).
		setRate(c.w.Header(), rate{0, 0, s.cfg.Now().Unix() + 1})
		return errRateLimit()
	}
	if rt.path != tokenPath {
		if err := s.authenticate(c, rt); err != nil {
			setRate(c.w.Header(), s.limiter.peek(rt.bucket, s.cfg.Now()))
			return err
		}
	}
	state, ok := s.limiter.take(rt.bucket, s.cfg.Now())
	setRate(c.w.Header(), state)
	if !ok {
		return errRateLimit()
	}
	if err := c.allow(rt); err != nil {
		return err
	}
	if err := s.wait(c.r); err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	if f := s.intercept.Load(); f != nil {
		if (*f)(c.w, c.r) {
			return nil
		}
	}
	if rt.handlers == nil {
		return errNotFound(c.r.URL.Path, "Endpoint")
	}
	handle := rt.handlers[c.r.Method]
	if handle == nil {
		return &Error{http.StatusMethodNotAllowed, "E0000022", "The endpoint does not support the provided HTTP method", nil}
	}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return errValidation("RequestParams", "The query string is malformed.")
	}
	c.query = query
	return handle(c)
}

func (s *Server) isToken(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(*s.token.Load())) == 1
}

// wait keeps the latency, unless the client goes away first.
func (s *Server) wait(r *http.Request) error {
	if s.cfg.Latency <= 0 {
		return nil
	}
	timer := time.NewTimer(s.cfg.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// setHeaders writes what every answer of Okta carries. Date is the server's own
// clock, on which clients build their waits and watermarks.
func (s *Server) setHeaders(h http.Header) {
	var id [16]byte
	randomBytes(id[:])
	h.Set("Date", s.cfg.Now().UTC().Format(http.TimeFormat))
	h.Set("X-Okta-Request-Id", hex.EncodeToString(id[:]))
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "0")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Server", "nginx")
}

func setRate(h http.Header, r rate) {
	h.Set("X-Rate-Limit-Limit", strconv.Itoa(r.limit))
	h.Set("X-Rate-Limit-Remaining", strconv.Itoa(r.remaining))
	h.Set("X-Rate-Limit-Reset", strconv.FormatInt(r.reset, 10))
}

// trimmed says whether the request asks for the trimmed form: only all three
// parameters together have an effect (facts.md §1).
func (c *call) trimmed() bool {
	_, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil {
		return false
	}
	asked := map[string]bool{}
	for name := range strings.SplitSeq(params["okta-response"], ",") {
		asked[strings.TrimSpace(name)] = true
	}
	return asked["omitCredentials"] && asked["omitCredentialsLinks"] && asked["omitTransitioningToStatus"]
}

// readBody reads a request's JSON object.
func (c *call) readBody() (attrs, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		return nil, errBadJSON()
	}
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &Error{http.StatusUnsupportedMediaType, "E0000021", "Bad request.  Accept and/or Content-Type headers likely do not match supported values.", nil}
	}
	if !json.Valid(raw) {
		return nil, errBadJSON()
	}
	body, err := parseAttrs(raw)
	if err != nil {
		return nil, errBadJSON()
	}
	return body, nil
}

// writeJSON answers an encoded object that may hold the base placeholder.
func (c *call) writeJSON(body []byte) error {
	return c.writeBytes(http.StatusOK, expand(nil, body, c.base))
}

func (c *call) writeBytes(status int, body []byte) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a client that has gone is not the simulator's concern
	return nil
}

func (c *call) noContent() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) writeError(err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{http.StatusInternalServerError, "E0000009", "Internal Server Error", nil}
	}
	type cause struct {
		ErrorSummary string `json:"errorSummary"`
	}
	causes := make([]cause, len(e.Causes))
	for i, text := range e.Causes {
		causes[i].ErrorSummary = text
	}
	var id [16]byte
	randomBytes(id[:])
	c.w.Header().Del("Link")
	_ = c.writeBytes(e.Status, encode(struct {
		Code    string  `json:"errorCode"`
		Summary string  `json:"errorSummary"`
		Link    string  `json:"errorLink"`
		ID      string  `json:"errorId"`
		Causes  []cause `json:"errorCauses"`
	}{e.Code, e.Summary, e.Code, "oae" + base64.RawURLEncoding.EncodeToString(id[:]), causes}))
}

// serveSim answers what Okta does not have.
func (s *Server) serveSim(w http.ResponseWriter, r *http.Request) {
	var method string
	var answer func()
	switch r.URL.Path {
	case "/_sim/stats":
		method, answer = http.MethodGet, func() {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(append(encode(s.Stats()), '\n'))
		}
	case "/_sim/stats/reset":
		method, answer = http.MethodPost, func() {
			s.ResetStats()
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		http.Error(w, "oktasim: nothing here; there are GET /_sim/stats and POST /_sim/stats/reset", http.StatusNotFound)
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		http.Error(w, "oktasim: use "+method, http.StatusMethodNotAllowed)
		return
	}
	answer()
}

func (s *Server) buffer() *[]byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (s *Server) release(b *[]byte) {
	if cap(*b) <= 8<<20 {
		s.buffers.Put(b)
	}
}

// recorder remembers the status of an answer. It passes flushing and hijacking
// on, for tests that send half an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Flush implements [http.Flusher].
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Hijack implements [http.Hijacker].
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(r.ResponseWriter).Hijack()
}

// Unwrap is for [http.ResponseController].
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// randomBytes fills b for ids that nobody has to keep secret.
func randomBytes(b []byte) {
	for i := range b {
		b[i] = byte(rand.Uint32()) // #nosec G404 G115 -- request ids of a simulator
	}
}
