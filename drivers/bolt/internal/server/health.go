package server

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	metav1 "github.com/outrigger-registry/outrigger/drivers/bolt/internal/gen/outrigger/meta/v1"
)

const (
	healthEvery = 3 * time.Second
	// A disk that hangs must not make the answer older than the contract allows.
	healthWithin = 1500 * time.Millisecond
)

// watchHealth keeps the store's health at most five seconds old [process.health.01]. The process's own, "", is SERVING
// from the start and never depends on the store.
func watchHealth(ctx context.Context, server *health.Server, store Store, log *slog.Logger) {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	well := true
	var asking chan error
	for {
		if asking == nil {
			asking = make(chan error, 1)
			go func(answer chan<- error) { answer <- store.Check(ctx) }(asking)
		}
		var err error
		select {
		case err = <-asking:
			asking = nil
		case <-time.After(healthWithin):
			err = context.DeadlineExceeded
		case <-ctx.Done():
			return
		}
		status := healthv1.HealthCheckResponse_SERVING
		if err != nil {
			status = healthv1.HealthCheckResponse_NOT_SERVING
		}
		if ctx.Err() != nil {
			return
		}
		server.SetServingStatus(metav1.MetaService_ServiceDesc.ServiceName, status)
		if well != (err == nil) {
			well = err == nil
			if well {
				log.Info("the store is usable again")
			} else {
				log.Error("the store is not usable", "err", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
