// Command outrigger-driver-bolt serves a bbolt file as an Outrigger meta store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/options"
	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/server"
	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/store"
)

const program = "outrigger-driver-bolt"

// version is the driver's release; a build may set another: -ldflags "-X main.version=…".
var version = "0.1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr); err != nil {
		os.Exit(1)
	}
}

// run is the program. What it returns it has told on stderr: for a person one sentence, for a log collector one JSON line.
func run(ctx context.Context, args, environment []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "health" {
		err := health(ctx, args[1:])
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", program, err)
		}
		return err
	}
	opts, err := options.Read(args, environment)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return err
	}
	switch {
	case opts.Help:
		_, err := fmt.Fprint(stdout, options.Usage(program))
		return err
	case opts.Version:
		_, err := fmt.Fprintln(stdout, program, version)
		return err
	}
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: opts.LogLevel})).
		With("driver", "bolt", "pid", os.Getpid())
	if err := serve(ctx, opts, log); err != nil {
		log.Error(err.Error())
		return err
	}
	return nil
}

func serve(ctx context.Context, opts options.Options, log *slog.Logger) (err error) {
	storeOptions := store.Options{
		Path:     opts.File,
		ReadOnly: opts.ReadOnly,
		LockWait: opts.LockWait,
		Log:      log,
		Now:      time.Now,
	}
	if opts.Init {
		id, created, err := store.Init(ctx, storeOptions)
		if err == nil {
			log.Info("the store has its id", "file", opts.File, "store", id, "new", created)
		}
		return err
	}
	var tls *server.TLS
	if opts.TLSCert != "" {
		tls, err = server.NewTLS(server.TLSFiles{Cert: opts.TLSCert, Key: opts.TLSKey, ClientCA: opts.TLSClientCA})
		if err != nil {
			return err
		}
	}
	opened, err := store.Open(ctx, storeOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	var metrics *server.Metrics
	if opts.MetricsListen != "" {
		metrics = server.NewMetrics(opened.Figures)
		address, err := metrics.Serve(ctx, opts.MetricsListen)
		if err != nil {
			return err
		}
		log.Info("metrics at /metrics", "address", address)
	}
	listener, err := server.Listen(opts.Listen, tls != nil, opts.Insecure)
	if err != nil {
		return err
	}
	for _, notice := range opened.Notices() {
		log.Warn(notice)
	}
	log.Info("serving", "address", listener.Address, "name", server.Name, "version", version, "meta", opened.ID(),
		"file", opts.File, "readOnly", opts.ReadOnly)
	err = server.Serve(ctx, listener, opened, server.Options{
		Version:        version,
		ReadOnly:       opts.ReadOnly,
		TLS:            tls,
		AllowedClients: opts.TLSAllowed,
		Metrics:        metrics,
		Log:            log,
		Now:            time.Now,
	})
	if err == nil {
		log.Info("stopped")
	}
	return err
}
