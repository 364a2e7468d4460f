package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// TLSFiles are PEM files.
type TLSFiles struct {
	Cert, Key string
	// ClientCA makes clients show a certificate that it signed; empty: they need none.
	ClientCA string
}

const tlsLookEvery = 5 * time.Second

// TLS is a listener's certificate, reread when its files change.
type TLS struct {
	files  TLSFiles
	config atomic.Pointer[tls.Config]
	marks  string
}

// NewTLS reads the files.
func NewTLS(files TLSFiles) (*TLS, error) {
	t := &TLS{files: files}
	if _, err := t.reload(); err != nil {
		return nil, fmt.Errorf("the TLS files cannot be used: %w", err)
	}
	return t, nil
}

// Credentials for a gRPC server; each handshake uses the files as they were read last.
func (t *TLS) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return t.config.Load(), nil
		},
	})
}

// Watch looks at the files now and then, until ctx is done. Broken ones are logged and the last good ones stay.
func (t *TLS) Watch(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(tlsLookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch changed, err := t.reload(); {
		case err != nil:
			log.Error("the changed TLS files cannot be used: the last good ones stay", "err", err)
		case changed:
			log.Info("the TLS certificate has changed and is in use")
		}
	}
}

func (t *TLS) reload() (changed bool, err error) {
	marks, err := t.look()
	if err != nil || marks == t.marks {
		return false, err
	}
	// Fails unless key and certificate belong together: half a rotation is not taken.
	pair, err := tls.LoadX509KeyPair(t.files.Cert, t.files.Key)
	if err != nil {
		return false, err
	}
	if ended := pair.Leaf.NotAfter; time.Now().After(ended) {
		return false, fmt.Errorf("the certificate in %s ended %s", t.files.Cert, ended.Format(time.RFC3339))
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{pair},
	}
	if t.files.ClientCA != "" {
		pem, err := os.ReadFile(t.files.ClientCA)
		if err != nil {
			return false, err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return false, fmt.Errorf("%s holds no PEM certificate", t.files.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	t.config.Store(config)
	t.marks = marks
	return true, nil
}

// look gives a text that changes when a file does, also behind the symbolic links that Kubernetes swaps.
func (t *TLS) look() (marks string, err error) {
	for _, path := range []string{t.files.Cert, t.files.Key, t.files.ClientCA} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		marks += fmt.Sprintf("%s %d %d\n", path, info.ModTime().UnixNano(), info.Size())
	}
	return marks, nil
}
