package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

const healthTime = 4 * time.Second

// health asks a driver whether its store is usable: for a container's health check, where there is no other program.
// With OUTRIGGER_TLS_CERT it speaks TLS, and trusts exactly the certificate that the driver itself serves.
func health(ctx context.Context, args []string) error {
	address := os.Getenv("OUTRIGGER_LISTEN")
	if len(args) > 0 {
		address = args[0]
	}
	if address == "" || len(args) > 1 {
		return errors.New("health [ADDRESS]: unix:///path/x.sock or host:port (or set OUTRIGGER_LISTEN)")
	}
	transport, err := healthCredentials()
	if err != nil {
		return err
	}
	connection, err := grpc.NewClient(target(address), grpc.WithTransportCredentials(transport))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	answer, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{Service: "outrigger.meta.v1.MetaService"})
	if err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	if answer.Status != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("%s: the store is %s", address, answer.Status)
	}
	return nil
}

// target makes an address of the process contract one of gRPC; a driver that listens everywhere is asked on loopback.
func target(address string) string {
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix {
		return "unix:" + strings.TrimPrefix(path, "//")
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			return net.JoinHostPort("127.0.0.1", port)
		}
	}
	return address
}

func healthCredentials() (credentials.TransportCredentials, error) {
	cert, key := os.Getenv("OUTRIGGER_TLS_CERT"), os.Getenv("OUTRIGGER_TLS_KEY")
	if cert == "" {
		return insecure.NewCredentials(), nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		// Its names are for others; what counts is that it is the very certificate.
		InsecureSkipVerify: true,
		VerifyPeerCertificate: func(shown [][]byte, _ [][]*x509.Certificate) error {
			if len(shown) == 0 || string(shown[0]) != string(pair.Certificate[0]) {
				return errors.New("another certificate is served than OUTRIGGER_TLS_CERT holds")
			}
			return nil
		},
	}), nil
}
