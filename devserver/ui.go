package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// webUI is Temporal's Web UI, served from the assets inside the binary.
type webUI struct {
	server *uiserver.Server
	url    string
	done   chan struct{} // closed when the server has ended
}

// startUI serves the Web UI on ip:port for the server that to reaches. It returns
// at once; waitReady says when the UI answers.
func startUI(ip net.IP, port int, to access, namespace string) *webUI {
	host := ip.String()
	if ip.To4() == nil {
		host = "[" + host + "]" // the UI joins host and port with a bare colon
	}
	ui := &webUI{
		url:  "http://" + hostPort(reachable(ip), port),
		done: make(chan struct{}),
		server: uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
			TemporalGRPCAddress: to.address,
			TLS:                 to.ui(),
			Host:                host,
			Port:                port,
			EnableUI:            true,
			DefaultNamespace:    namespace,
			HideLogs:            true,
			DisableNewsFetch:    true,                                // no call leaves the machine
			CORS:                uiconfig.CORS{CookieInsecure: true}, // plain http
		})),
	}
	go func() {
		defer close(ui.done)
		// Start ends the process itself when it cannot listen; claimPort has made
		// sure that it can.
		_ = ui.server.Start()
	}()
	return ui
}

// check asks the Web UI whether it serves.
func (u *webUI) check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the Web UI answers %s", resp.Status)
	}
	return err
}

// stop closes the Web UI with its connections and waits until it has ended.
func (u *webUI) stop() {
	u.server.Stop()
	<-u.done
}
