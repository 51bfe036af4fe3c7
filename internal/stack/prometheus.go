package stack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/api"
	promapi "github.com/prometheus/client_golang/api/prometheus/v1"
	"go.yaml.in/yaml/v3"
)

// ErrNoPrometheus says that this machine has no Prometheus, and how to get one.
var ErrNoPrometheus = errors.New("no prometheus and promtool found: install them (Debian and Ubuntu: apt-get install --no-install-recommends prometheus, " +
	"and stop the service that this starts; others: prometheus.io/download), or put their folder into PATH")

// FindPrometheus returns the programs prometheus and promtool, or [ErrNoPrometheus].
func FindPrometheus() (prometheus, promtool string, _ error) {
	prometheus, err := exec.LookPath("prometheus")
	if err != nil {
		return "", "", ErrNoPrometheus
	}
	if promtool, err = exec.LookPath("promtool"); err != nil {
		return "", "", ErrNoPrometheus
	}
	return prometheus, promtool, nil
}

// ScrapeInterval is how often the Prometheus of a stack scrapes.
const ScrapeInterval = time.Second

// WorkerJob is the name under which the alert rules expect workers to be scraped.
const WorkerJob = "identitymesh-worker"

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// Prometheus starts a Prometheus on a free loopback port. It scrapes workers, given as
// host:port, and evaluates the rule files, given by absolute path.
func (s *Stack) Prometheus(ctx context.Context, workers []string, rules ...string) (promapi.API, error) {
	bin, _, err := FindPrometheus()
	if err != nil {
		return nil, err
	}
	config, err := yaml.Marshal(map[string]any{
		"global":     map[string]string{"scrape_interval": ScrapeInterval.String(), "evaluation_interval": ScrapeInterval.String()},
		"rule_files": rules,
		"scrape_configs": []any{map[string]any{
			"job_name":       WorkerJob,
			"static_configs": []any{map[string]any{"targets": workers}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("write the configuration of Prometheus: %w", err)
	}
	dir, err := os.MkdirTemp(s.Dir, "prometheus-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for Prometheus: %w", err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of Prometheus: %w", err)
	}
	p, err := start(bin, []string{"--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", "127.0.0.1:0"}, nil, s.Log)
	if err != nil {
		return nil, err
	}
	s.procs = append(s.procs, p)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	line, err := p.WaitFor(ctx, `msg="Listening on"`)
	if err != nil {
		return nil, err
	}
	if _, err := p.WaitFor(ctx, "Server is ready to receive web requests"); err != nil {
		return nil, err
	}
	at := listening.FindStringSubmatch(line)
	if at == nil {
		return nil, fmt.Errorf("Prometheus did not say where it listens: %q", line)
	}
	client, err := api.NewClient(api.Config{Address: (&url.URL{Scheme: "http", Host: at[1]}).String()})
	if err != nil {
		return nil, fmt.Errorf("reach Prometheus: %w", err)
	}
	return promapi.NewAPI(client), nil
}
