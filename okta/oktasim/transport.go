package oktasim

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// errCut is what a client sees of an answer that was cut off.
var errCut = fmt.Errorf("oktasim: the answer was cut off: %w", io.ErrUnexpectedEOF)

// Transport returns a transport that asks the server without a socket: for
// thousands of short tests. Any host is the server, and links name that host. It
// is safe for concurrent use.
//
// A handler that panics with [http.ErrAbortHandler] cuts the connection: before
// anything was flushed that is an error of the request, later one of the body.
// Hijacking is not possible, and an answer is seen only when it is whole.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ s *Server }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := req.Clone(ctx)
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if req.URL.Scheme == "https" {
		in.TLS = &tls.ConnectionState{}
	}
	in.Body = http.NoBody
	if req.Body != nil {
		// The handler may outlive a request that is given up.
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		in.Body = io.NopCloser(bytes.NewReader(body))
	}
	done := make(chan *memoryWriter, 1)
	go func() {
		w := &memoryWriter{header: http.Header{}}
		defer func() {
			if cause := recover(); cause != nil {
				w.fail(cause)
			}
			done <- w
		}()
		t.s.ServeHTTP(w, in)
	}()
	select {
	case w := <-done:
		return w.response(req)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// memoryWriter keeps an answer.
type memoryWriter struct {
	header  http.Header
	sent    http.Header // the header as it was when the answer began
	status  int
	body    bytes.Buffer
	flushed int   // bytes of body that the client has for sure
	begun   bool  // the client has the header
	err     error // the connection broke
}

// Header implements [http.ResponseWriter].
func (w *memoryWriter) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *memoryWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

// Write implements [http.ResponseWriter].
func (w *memoryWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements [http.Flusher].
func (w *memoryWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	w.begun, w.flushed = true, w.body.Len()
}

func (w *memoryWriter) fail(cause any) {
	w.err = errCut
	if err, ok := cause.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		w.err = fmt.Errorf("oktasim: the handler panicked: %v", cause)
	}
}

func (w *memoryWriter) response(req *http.Request) (*http.Response, error) {
	if w.err != nil && !w.begun {
		return nil, w.err
	}
	w.WriteHeader(http.StatusOK)
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, Request: req,
		ContentLength: int64(w.body.Len()), Body: io.NopCloser(bytes.NewReader(w.body.Bytes())),
	}
	if w.err != nil {
		resp.ContentLength = -1
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(w.body.Bytes()[:w.flushed]), failing{w.err}))
	}
	return resp, nil
}

// failing is a body's end that never comes.
type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) { return 0, f.err }
