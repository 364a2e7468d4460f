package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/store"
)

// Metrics count calls under the names that every Outrigger driver uses. A nil one counts nothing.
type Metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	open     *prometheus.GaugeVec
}

// NewMetrics makes them, with the figures of a store.
func NewMetrics(figures func() store.Figures) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "outrigger_driver_calls_total", Help: "Calls ended, by method and gRPC code.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "outrigger_driver_call_seconds", Help: "From a call's arrival to its end, by method.",
			Buckets: []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30},
		}, []string{"method"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "outrigger_driver_open_calls", Help: "Calls under way, by method.",
		}, []string{"method"}),
	}
	number := func(name, help string, read func(store.Figures) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return read(figures()) })
	}
	counter := func(name, help string, read func(store.Figures) float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return read(figures()) })
	}
	m.registry.MustRegister(
		m.calls, m.seconds, m.open,
		number("outrigger_bolt_file_bytes", "Size of the file.", func(f store.Figures) float64 { return float64(f.FileBytes) }),
		number("outrigger_bolt_free_bytes", "Bytes in the file that are free for new values.", func(f store.Figures) float64 { return float64(f.FreeBytes) }),
		counter("outrigger_bolt_transactions_total", "Transactions committed, each one sync of the disk.", func(f store.Figures) float64 { return float64(f.Groups) }),
		counter("outrigger_bolt_writes_total", "Writes acknowledged that changed something.", func(f store.Figures) float64 { return float64(f.Writes) }),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *Metrics) begin(fullMethod string) func(codes.Code) {
	if m == nil {
		return func(codes.Code) {}
	}
	method := shortName(fullMethod)
	started := time.Now()
	m.open.WithLabelValues(method).Inc()
	return func(code codes.Code) {
		m.open.WithLabelValues(method).Dec()
		m.seconds.WithLabelValues(method).Observe(time.Since(started).Seconds())
		m.calls.WithLabelValues(method, code.String()).Inc()
	}
}

// shortName gives "meta.Get" for "/outrigger.meta.v1.MetaService/Get"; what is not served is one name, or anybody could
// make as many as they like.
func shortName(fullMethod string) string {
	service, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	switch service {
	case "outrigger.meta.v1.MetaService":
		return "meta." + method
	case "outrigger.handshake.v1.HandshakeService":
		return "handshake." + method
	case "grpc.health.v1.Health":
		return "health." + method
	}
	return "other"
}

// Serve answers /metrics at address until ctx is done. It returns once it listens.
func (m *Metrics) Serve(ctx context.Context, address string) (listening string, err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("metrics cannot be served at --metrics-listen %s (host:port): %w", address, err)
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_ = listener.Close()
		}
	}()
	return listener.Addr().String(), nil
}
