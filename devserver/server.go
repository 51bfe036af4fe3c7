package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Server is a running Temporal server with its Web UI. Make one with Start.
type Server struct {
	temporal temporal.Server
	ui       *webUI // nil when headless
	address  string
	inner    access // how the Web UI and we ourselves reach it
	claim    *claim // of a PostgreSQL database, else nil
	level    zap.AtomicLevel
}

// Start runs what cfg describes and returns once it is usable: the frontend
// answers, every namespace and search attribute is there, the Web UI serves. On
// an error nothing is left listening. The server's log goes to logs.
func Start(ctx context.Context, cfg Config, logs io.Writer) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()

	certs, err := loadCertificates(cfg)
	if err != nil {
		return nil, err
	}
	ports, err := claimPorts(ctx, cfg)
	if err != nil {
		return nil, err
	}
	srv := &Server{
		address: hostPort(reachable(cfg.IP), ports.frontend),
		level:   zap.NewAtomicLevelAt(cfg.LogLevel),
	}
	srv.inner = access{address: srv.address}
	services := temporal.DefaultServices
	if certs != nil {
		srv.inner = access{address: hostPort(loopback, ports.internal), certs: certs}
		services = append(slices.Clone(services), string(primitives.InternalFrontendService))
	}
	logger := newLogger(logs, srv.level)
	store, err := openStorage(ctx, cfg, logger, logs)
	if err != nil {
		return nil, err
	}
	srv.claim = store.claim
	conf := serverConfig(cfg, ports, store, certs)
	srv.temporal, err = temporal.NewServer(
		temporal.WithConfig(conf),
		temporal.ForServices(services),
		temporal.WithStaticHosts(ports.hosts(srv.address)),
		temporal.WithDynamicConfigClient(dynamicValues),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper {
			return authorization.NewNoopClaimMapper()
		}),
	)
	if err != nil {
		if srv.claim != nil {
			srv.claim.release()
		}
		return nil, fmt.Errorf("set up the Temporal server: %w", err)
	}
	if !cfg.Headless {
		srv.ui = startUI(cfg.uiIP(), ports.ui, srv.inner, cfg.Namespaces[0])
	}
	if err := srv.temporal.Start(); err != nil {
		srv.Stop(stopTimeout)
		return nil, fmt.Errorf("start the Temporal server: %w", err)
	}
	if err := srv.waitReady(ctx, cfg); err != nil {
		srv.Stop(stopTimeout)
		return nil, err
	}
	return srv, nil
}

// Address is the frontend's host:port, for Temporal clients.
func (s *Server) Address() string { return s.address }

// UIURL is the Web UI's address, empty when there is none.
func (s *Server) UIURL() string {
	if s.ui == nil {
		return ""
	}
	return s.ui.url
}

// Lost gets a reason when the server has lost its database to another one and should stop;
// nothing ever comes for SQLite, whose file is locked by the system.
func (s *Server) Lost() <-chan error {
	if s.claim == nil {
		return nil
	}
	return s.claim.lost
}

// Stop stops the server and gives up waiting after limit: a poll or a system
// workflow may hold a service for longer than anyone waits for Ctrl-C.
func (s *Server) Stop(limit time.Duration) {
	// Services that stop one after another miss each other and warn about it;
	// those lines would only hide what happened before.
	if s.level.Level() > zapcore.DebugLevel {
		s.level.SetLevel(logSilent)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.ui != nil {
			s.ui.stop()
		}
		_ = s.temporal.Stop()
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
	if s.claim != nil {
		s.claim.release()
	}
}

// portSet is where the parts of one server listen.
type portSet struct {
	frontend, ui                        int // on the configured IP
	history, matching, worker, internal int // on loopback; internal with TLS only
}

// claimPorts finds or checks every port that the server will open.
func claimPorts(ctx context.Context, cfg Config) (portSet, error) {
	var p portSet
	var errs [6]error
	p.frontend, errs[0] = claimPort(ctx, "--port", cfg.IP, cfg.Port)
	if !cfg.Headless {
		p.ui, errs[1] = claimPort(ctx, "--ui-port", cfg.uiIP(), cfg.UIPort)
	}
	p.history, errs[2] = freePort(ctx, loopback)
	p.matching, errs[3] = freePort(ctx, loopback)
	p.worker, errs[4] = freePort(ctx, loopback)
	if cfg.TLS() {
		p.internal, errs[5] = freePort(ctx, loopback)
	}
	return p, errors.Join(errs[:]...)
}

// hosts replaces Temporal's gossip: every service has exactly one known host, so
// no membership port is opened and nothing has to be waited for.
func (p portSet) hosts(frontend string) map[primitives.ServiceName]static.Hosts {
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(frontend),
		primitives.HistoryService:  static.SingleLocalHost(hostPort(loopback, p.history)),
		primitives.MatchingService: static.SingleLocalHost(hostPort(loopback, p.matching)),
		primitives.WorkerService:   static.SingleLocalHost(hostPort(loopback, p.worker)),
		// Asked for with TLS only, when it runs.
		primitives.InternalFrontendService: static.SingleLocalHost(hostPort(loopback, p.internal)),
	}
}

// serverConfig is Temporal's static configuration for one process and one store.
// What it leaves at zero stays off: metrics and pprof listeners, the frontend's
// experimental HTTP API, archival, authorization, and TLS without certificates.
func serverConfig(cfg Config, ports portSet, store storage, certs *certificates) *config.Config {
	const mainStore, visibilityStore = "main", "visibility"
	service := func(ip net.IP, port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: ip.String()}}
	}
	frontend := hostPort(reachable(cfg.IP), ports.frontend)
	conf := &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     mainStore,
			VisibilityStore:  visibilityStore,
			NumHistoryShards: store.shards,
			DataStores:       map[string]config.DataStore{mainStore: {SQL: store.main}, visibilityStore: {SQL: store.visibility}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(cfg.IP, ports.frontend),
			string(primitives.HistoryService):  service(loopback, ports.history),
			string(primitives.MatchingService): service(loopback, ports.matching),
			string(primitives.WorkerService):   service(loopback, ports.worker),
		},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
	if certs != nil {
		conf.Global.TLS = certs.root(cfg)
		// Without certificates of its clients' authority the server's own parts come in
		// by a door of their own. Its address is then known from the hosts.
		conf.Services[string(primitives.InternalFrontendService)] = service(loopback, ports.internal)
		conf.PublicClient = config.PublicClient{}
	}
	const disabled = "disabled"
	conf.Archival.History.State = disabled
	conf.Archival.Visibility.State = disabled
	conf.NamespaceDefaults.Archival.History.State = disabled
	conf.NamespaceDefaults.Archival.Visibility.State = disabled
	return conf
}

// dynamicValues are the settings in which a server of one process differs from a
// cluster. Worker heartbeats, worker deployment versions and eager starts are on
// by default in this server.
var dynamicValues = dynamicconfig.StaticClient{
	// A search attribute or Nexus endpoint can be used as soon as it is made,
	// without waiting for a cache.
	dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
	dynamicconfig.ForceNexusEndpointRefreshOnRead.Key():         true,
	// Every read then reaches the store, which the default limits do not expect.
	dynamicconfig.FrontendPersistenceMaxQPS.Key(): 10_000,
	dynamicconfig.HistoryPersistenceMaxQPS.Key():  45_000,
	// Lists from scripts, tests and the Web UI together exceed ten a second.
	dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key(): 100,
	// One process has no use for partitions: a task would only wait for a poller
	// of another one.
	dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
	dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
	// The default suits a large host; a laptop has other uses for its memory.
	dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8_192,
}

// newLogger writes the server's log as readable lines.
func newLogger(w io.Writer, level zap.AtomicLevel) log.Logger {
	encoding := log.DefaultZapEncoderConfig
	encoding.StacktraceKey = zapcore.OmitKey // frames of the server say nothing to its users
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), zapcore.Lock(zapcore.AddSync(w)), level)
	return log.NewZapLogger(zap.New(core))
}
