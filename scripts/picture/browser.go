package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// browser is a headless Chromium, spoken to by the DevTools protocol over two pipes:
// one JSON message, one zero byte. That needs no library.
type browser struct {
	cmd     *exec.Cmd
	profile string
	to      *os.File
	session string // of the one tab

	mu      sync.Mutex
	last    int
	waiting map[int]chan<- message // by the id of a command
	gone    error                  // set when the browser speaks no more
}

// message is a command, an answer or an event.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// browsers are the names under which distributions install Chromium.
var browsers = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}

// findBrowser returns the program, $BROWSER_BIN first.
func findBrowser() (string, error) {
	if bin := os.Getenv("BROWSER_BIN"); bin != "" {
		return bin, nil
	}
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no browser found: install Chromium (Debian and Ubuntu: apt-get install chromium fonts-noto-core fonts-noto-cjk; " +
		"Fedora: dnf install chromium), or name a Chrome or Chromium in BROWSER_BIN")
}

// The size of the tab: wide enough for the Web UI to cut no stamp, high enough to need
// no scrolling.
const (
	tabWidth  = 1600
	tabHeight = 1300
)

// openBrowser starts a browser with one tab.
func openBrowser(ctx context.Context, bin string) (*browser, error) {
	profile, err := os.MkdirTemp("", "identitymesh-picture-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the browser: %w", err)
	}
	b := &browser{profile: profile, waiting: map[int]chan<- message{}}
	if err := b.start(bin); err != nil {
		return nil, errors.Join(err, os.RemoveAll(profile))
	}
	if err := b.tab(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *browser) start(bin string) error {
	in, to, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open a pipe to the browser: %w", err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open a pipe from the browser: %w", err)
	}
	args := []string{"--headless=new", "--remote-debugging-pipe", "--user-data-dir=" + b.profile,
		"--no-first-run", "--hide-scrollbars", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-US"}
	if os.Getuid() == 0 { // Chromium's sandbox refuses to run as root; the only page is our own
		args = append(args, "--no-sandbox")
	}
	b.cmd = exec.Command(bin, append(args, "about:blank")...) //nolint:noctx,gosec // the operator's own browser; its life ends with close
	b.cmd.ExtraFiles = []*os.File{in, out}                    // 3 and 4
	b.cmd.Env = append(os.Environ(), "TZ=UTC")
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start the browser: %w", err)
	}
	_, _ = in.Close(), out.Close() // the browser has its own
	b.to = to
	go b.listen(from)
	return nil
}

// listen hands every answer to whoever waits for it. Events are not needed.
func (b *browser) listen(from *os.File) {
	defer from.Close() //nolint:errcheck // only read from
	r := bufio.NewReader(from)
	var err error
	for err == nil {
		var raw []byte
		if raw, err = r.ReadBytes(0); err != nil {
			break
		}
		var m message
		if err = json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			break
		}
		b.mu.Lock()
		if answer := b.waiting[m.ID]; answer != nil {
			answer <- m
			delete(b.waiting, m.ID)
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = fmt.Errorf("the browser has gone: %w", err)
	for _, answer := range b.waiting {
		close(answer)
	}
	b.waiting = nil
}

// do sends one command and decodes its result into out, when not nil.
func (b *browser) do(ctx context.Context, method string, params, out any) error {
	answer := make(chan message, 1)
	b.mu.Lock()
	if b.gone != nil {
		defer b.mu.Unlock()
		return b.gone
	}
	b.last++
	m := message{ID: b.last, SessionID: b.session, Method: method, Params: params}
	b.waiting[m.ID] = answer
	raw, err := json.Marshal(m)
	if err == nil {
		_, err = b.to.Write(append(raw, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("tell the browser %s: %w", method, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	select {
	case a, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, b.gone)
		case a.Error != nil:
			return fmt.Errorf("the browser refused %s: %s", method, a.Error.Message)
		case out == nil:
			return nil
		}
		return json.Unmarshal(a.Result, out)
	case <-ctx.Done():
		return fmt.Errorf("the browser did not answer %s: %w", method, ctx.Err())
	}
}

// tab opens the tab that all other commands are for.
func (b *browser) tab(ctx context.Context) error {
	var target struct {
		ID string `json:"targetId"`
	}
	if err := b.do(ctx, "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	if err := b.do(ctx, "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	return b.do(ctx, "Emulation.setDeviceMetricsOverride",
		map[string]any{"width": tabWidth, "height": tabHeight, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// shows tells whether the page shows a text, also in its frames: the Web UI renders
// Markdown in them.
const shows = `[document, ...[...document.querySelectorAll('iframe')].map(f => f.contentDocument)]
	.some(d => d?.body?.textContent.includes(%s))`

// open loads a page and waits until its text holds all of these.
func (b *browser) open(ctx context.Context, url string, texts ...string) error {
	if err := b.do(ctx, "Page.navigate", map[string]any{"url": url}, nil); err != nil {
		return err
	}
	for _, text := range texts {
		quoted, err := json.Marshal(text)
		if err != nil {
			return err // a string always marshals
		}
		if err := b.until(ctx, fmt.Sprintf(shows, quoted)); err != nil {
			return fmt.Errorf("%s does not show %q: %w", url, text, err)
		}
	}
	return nil
}

// until waits until an expression is true on the page.
func (b *browser) until(ctx context.Context, expression string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		var ok bool
		if err := b.eval(ctx, expression, &ok); err == nil && ok { // a page that is loading has no answer
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// eval evaluates an expression on the page.
func (b *browser) eval(ctx context.Context, expression string, out any) error {
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err := b.do(ctx, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	switch {
	case err != nil:
		return err
	case r.Exception != nil:
		return fmt.Errorf("%s: %s", expression, r.Exception.Text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// area is a part of the page, in its own pixels.
type area struct {
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
	Scale  float64 `json:"scale"`
}

// image returns a picture of an area as PNG, nil being all that the tab shows. It
// waits until the page stands still, which one with a running clock never does.
func (b *browser) image(ctx context.Context, a *area) ([]byte, error) {
	params := map[string]any{"format": "png"}
	if a != nil {
		params["clip"] = a
	}
	var before, now []byte
	for tries := 0; tries < 10 && (now == nil || !bytes.Equal(before, now)); tries++ {
		before = now
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		var shot struct {
			Data []byte `json:"data"` // in base64
		}
		if err := b.do(ctx, "Page.captureScreenshot", params, &shot); err != nil {
			return nil, err
		}
		now = shot.Data
	}
	return now, nil
}

// shoot writes a picture of all that the tab shows to a file.
func (b *browser) shoot(ctx context.Context, file string) error {
	png, err := b.image(ctx, nil)
	if err != nil {
		return err
	}
	return os.WriteFile(file, png, 0o600)
}

// close ends the browser and removes its folder.
func (b *browser) close() {
	_ = b.to.Close() // it ends when nobody can speak to it
	ended := make(chan struct{})
	go func() { _ = b.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = b.cmd.Process.Kill()
		<-ended
	}
	_ = os.RemoveAll(b.profile) // a temporary folder
}
