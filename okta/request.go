package okta

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Page is what an answer tells besides its rows. It is not nil whenever an answer
// arrived, also beside an error.
type Page struct {
	// Next is the absolute URL of the next page, "" on the last one. It is opaque and
	// was checked to be of the org's origin.
	Next string
	// Date is the server's Date header, zero without one.
	Date      time.Time
	Rate      Rate
	RequestID string // X-Okta-Request-Id, "" without one
	Status    int
}

// trimHeader makes Okta leave out what this client drops anyway. "The performance
// optimization will only be applied when all three parameters are passed"
// (facts.md §1); the spelling is Okta's.
const trimHeader = `application/json; okta-response="omitCredentials,omitCredentialsLinks, omitTransitioningToStatus"`

// endpoint is a kind of call.
type endpoint struct {
	template string // for errors and metrics: no ids, no query
	bucket   string // of the rate limit (facts.md §5)
	list     bool
	users    bool // answers with user objects
	secret   bool // answers with a secret: nothing of the body is quoted
}

// request is one call: the first page is built from path and query, a further one is next.
type request struct {
	endpoint
	id    string // of the path, "" without one
	path  string
	query url.Values
	next  string
	// form is posted, made anew for each exchange; nil: a GET.
	form func() (url.Values, error)
}

func (r request) method() string {
	if r.form != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

func setLimit(q url.Values, limit int) {
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
}

// list reads one page of T.
func list[T any](ctx context.Context, c *Client, r request, k kind[T]) ([]T, *Page, error) {
	var rows []T
	page, err := c.do(ctx, r, func(body io.Reader) (err error) {
		rows, err = decodeList(body, k)
		return err
	})
	if err != nil {
		return nil, page, err
	}
	return rows, page, nil
}

// single reads one T, which must have the id that was asked for.
func single[T any](ctx context.Context, c *Client, r request, k kind[T]) (*T, *Page, error) {
	var object *T
	page, err := c.do(ctx, r, func(body io.Reader) (err error) {
		object, err = decodeObject(body, r.id, k)
		return err
	})
	if err != nil {
		return nil, page, err
	}
	return object, page, nil
}

// do makes one call: one HTTP exchange, unless its answer says how to sign it better.
func (c *Client) do(ctx context.Context, r request, decode func(io.Reader) error) (*Page, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	target, err := c.target(r)
	if err != nil {
		return nil, err
	}
	return c.signed(ctx, r, target, c.signer.call(), decode)
}

// signed makes the exchanges of one call.
func (c *Client) signed(ctx context.Context, r request, target *url.URL, s signature, decode func(io.Reader) error) (*Page, error) {
	var page *Page
	for {
		if err := s.prepare(ctx); err != nil {
			return page, err
		}
		answer, err := c.exchange(ctx, r, target, s, decode)
		if answer != nil {
			page = answer
		}
		if err == nil || !s.again(err) {
			return page, err
		}
	}
}

// exchange makes at most one HTTP exchange.
func (c *Client) exchange(ctx context.Context, r request, target *url.URL, s signature, decode func(io.Reader) error) (*Page, error) {
	ticket, err := c.admit(ctx, r)
	if err != nil {
		return nil, err
	}
	defer ticket.done()
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	x := &exchange{Client: c, request: r, ticket: ticket, target: target, signature: s, caller: ctx, call: callCtx}
	page, err := x.run(decode)
	if c.onCall != nil {
		call := Call{Method: r.method(), Endpoint: r.template, Duration: time.Since(start), Err: err}
		if page != nil {
			call.Status, call.Rate, call.RequestID = page.Status, page.Rate, page.RequestID
		}
		c.onCall(call)
	}
	return page, err
}

// target returns the URL of a request.
func (c *Client) target(r request) (*url.URL, error) {
	// An empty id or a dot would turn the path into another one.
	if strings.Contains(r.template, "{id}") && (r.id == "" || r.id == "." || r.id == "..") {
		return nil, c.failure(r, "the id is empty or a dot")
	}
	if r.next == "" {
		u, err := c.base.Parse(r.path)
		if err != nil {
			return nil, c.failure(r, "the id cannot stand in a URL")
		}
		u.RawQuery = r.query.Encode()
		return u, nil
	}
	u, err := url.Parse(r.next)
	if err != nil {
		return nil, c.failure(r, "the next link is no valid URL")
	}
	if problem := c.unfit(r, r.next, u); problem != "" {
		return nil, c.failure(r, problem)
	}
	return u, nil
}

// foreign says why a URL may not be sent the token, "" when it may.
func (c *Client) foreign(u *url.URL) string {
	if u.User == nil && u.Opaque == "" && sameOrigin(u, c.base) {
		return ""
	}
	host := c.tidy(u.Scheme+"://"+u.Host, maxQuote)
	if u.User != nil {
		host += " with a user name"
	}
	return fmt.Sprintf("the next link points to %s, not to %s://%s: refused, it would give the token away",
		host, c.base.Scheme, c.base.Host)
}

// failure starts a permanent error about a call.
func (c *Client) failure(r request, detail string) *Error {
	return &Error{
		Kind: Permanent, Method: r.method(), Endpoint: r.template, Host: c.base.Host,
		ObjectID: c.tidy(r.id, maxQuote), detail: detail,
	}
}

// exchange is one HTTP exchange.
type exchange struct {
	*Client
	request

	ticket    *ticket
	target    *url.URL
	signature signature
	caller    context.Context // of the caller
	call      context.Context // with the time-out of this call
}

// build makes the signed request.
func (x *exchange) build() (*http.Request, error) {
	var body io.Reader
	if x.form != nil {
		form, err := x.form()
		if err != nil {
			return nil, x.failure(x.request, "the request cannot be signed")
		}
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(x.call, x.method(), x.target.String(), body)
	if err != nil {
		return nil, x.failure(x.request, "the request cannot be built")
	}
	req.URL = x.target // as given, not as printed
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", x.userAgent)
	switch {
	case x.form != nil:
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case x.users:
		req.Header.Set("Content-Type", trimHeader)
	}
	if err := x.signature.sign(req); err != nil {
		return nil, x.failure(x.request, "the request cannot be signed")
	}
	return req, nil
}

func (x *exchange) run(decode func(io.Reader) error) (*Page, error) {
	req, err := x.build()
	if err != nil {
		return nil, err
	}
	resp, err := x.http.Do(req)
	if err != nil {
		return nil, x.transportError(err)
	}
	defer func() { _ = resp.Body.Close() }()

	page := &Page{
		Status:    resp.StatusCode,
		Rate:      readRate(resp.Header, x.bucket),
		RequestID: x.tidy(resp.Header.Get("X-Okta-Request-Id"), maxQuote),
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		page.Date = date
	}
	x.ticket.observe(page.Status, page.Rate, page.Date)
	x.signature.answered(resp.Header)
	if resp.StatusCode != http.StatusOK {
		return page, x.refusal(resp, page)
	}
	if err := x.readNext(resp.Header, page); err != nil {
		return page, err
	}
	b := &body{r: resp.Body, left: MaxResponseBytes}
	if err := decode(b); err != nil {
		page.Next = ""
		return page, x.bodyError(err, b, page)
	}
	return page, nil
}

// readNext checks the next link of an answer as soon as it arrives.
func (x *exchange) readNext(h http.Header, page *Page) error {
	if !x.list {
		return nil
	}
	fail := func(kind Kind, detail string) error {
		e := x.answered(page, detail)
		e.Kind = kind
		return e
	}
	target, err := nextLink(h.Values("Link"))
	if err != nil {
		return fail(RetryLater, err.Error())
	}
	if target == "" {
		return nil
	}
	// A fragment is never sent: with one that changes, a loop would look like progress.
	target, _, _ = strings.Cut(target, "#")
	u, err := x.target.Parse(target)
	if err != nil {
		return fail(Permanent, "the next link is no valid URL")
	}
	if problem := x.unfit(x.request, target, u); problem != "" {
		return fail(Permanent, problem)
	}
	if sameRequest(u, x.target) {
		return fail(Permanent, "the next link repeats itself: the listing would never end")
	}
	if x.signer.leaks(target) {
		return fail(Permanent, "the next link holds the token: refused, it would be stored")
	}
	// The URL is opaque: its spelling is kept, unless it was relative.
	page.Next = target
	if given, err := url.Parse(target); err != nil || !given.IsAbs() {
		page.Next = u.String()
	}
	return nil
}

// answered starts a permanent error about an answer.
func (x *exchange) answered(page *Page, detail string) *Error {
	e := x.failure(x.request, detail)
	e.Status, e.RequestID = page.Status, page.RequestID
	return e
}

// body reads an answer up to a size limit and remembers how it began and ended.
type body struct {
	r    io.Reader
	left int64
	head []byte // without leading whitespace; empty for what looks like JSON
	json bool   // it looks like JSON: nothing of it will be quoted
	err  error
}

// maxHead is how much of a body is kept to quote from.
const maxHead = 4 << 10

var errTooLarge = fmt.Errorf("the answer is larger than %d MiB", MaxResponseBytes>>20)

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		// One byte more tells an answer of exactly the limit from a larger one.
		var one [1]byte
		n, err := b.r.Read(one[:])
		switch {
		case n > 0:
			b.err = errTooLarge
		case err != nil:
			b.err = err
		default:
			return 0, nil
		}
		return 0, b.err
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.remember(p[:n])
	if err != nil {
		b.err = err
	}
	return n, err
}

func (b *body) remember(p []byte) {
	if b.json || len(b.head) >= maxHead {
		return
	}
	if len(b.head) == 0 {
		p = bytes.TrimLeft(p, " \t\r\n")
		b.json = len(p) > 0 && looksLikeJSON(p)
	}
	if !b.json {
		b.head = append(b.head, p[:min(len(p), maxHead-len(b.head))]...)
	}
}

// looksLikeJSON says whether a text begins as a list or an object.
func looksLikeJSON(text []byte) bool { return text[0] == '[' || text[0] == '{' }
