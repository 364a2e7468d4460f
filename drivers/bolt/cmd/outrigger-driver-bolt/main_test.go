package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/testtls"
)

// started runs the program until the test ends. It gives what it says, line by line.
func started(t *testing.T, args, environment []string) (lines *bufio.Scanner, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, args, environment, io.Discard, write)
		_ = write.Close()
	}()
	t.Cleanup(cancel)
	lines = bufio.NewScanner(read)
	return lines, func() error {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, read) }()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("it does not end")
			return nil
		}
	}
}

// said reads lines until one has the message, and gives a field of it.
func said(t *testing.T, lines *bufio.Scanner, message, field string) string {
	t.Helper()
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("no JSON: %s", lines.Text())
		}
		if line["msg"] == message {
			value, _ := line[field].(string)
			return value
		}
	}
	t.Fatalf("it never said %q", message)
	return ""
}

func TestInitServeHealthMetricsOverTLS(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "meta.db")
	var said1 bytes.Buffer
	if err := run(t.Context(), []string{"--file", file, "--init"}, nil, io.Discard, &said1); err != nil {
		t.Fatal(err, said1.String())
	}
	pair := testtls.New(t, folder, "driver")
	environment := []string{"OUTRIGGER_TLS_CERT=" + pair.Cert, "OUTRIGGER_TLS_KEY=" + pair.Key}
	// Its own certificate is the clients' authority too: so the health check may speak with it.
	lines, stop := started(t, []string{"--file", file, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--tls-client-ca", pair.Cert, "--tls-allow-client", "somebody,driver"}, environment)
	metrics := said(t, lines, "metrics at /metrics", "address")
	address := said(t, lines, "serving", "address")
	go func() {
		for lines.Scan() { // nobody reads it, and the program must not wait for that
		}
	}()

	if err := health(t.Context(), []string{address}); err == nil {
		t.Fatal("plain text was answered")
	}
	t.Setenv("OUTRIGGER_TLS_CERT", pair.Cert)
	t.Setenv("OUTRIGGER_TLS_KEY", pair.Key)
	if err := health(t.Context(), []string{address}); err != nil {
		t.Fatal(err)
	}
	other := testtls.New(t, t.TempDir(), "driver")
	t.Setenv("OUTRIGGER_TLS_CERT", other.Cert)
	t.Setenv("OUTRIGGER_TLS_KEY", other.Key)
	if err := health(t.Context(), []string{address}); err == nil {
		t.Fatal("another certificate was trusted")
	}

	answer, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{
		`outrigger_driver_calls_total{code="OK",method="health.Check"} 1`, "outrigger_bolt_file_bytes 32768", "go_goroutines",
	} {
		if !strings.Contains(string(text), wanted) {
			t.Errorf("/metrics has no %s", wanted)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedStartIsOneLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meta.db")
	for name, args := range map[string][]string{
		"options": {"--listen", "x"},
		"store":   {"--file", file, "--listen", "127.0.0.1:0"},
		"address": {"--file", file, "--listen", "0.0.0.0:0"},
		"TLS":     {"--file", file, "--listen", "127.0.0.1:0", "--tls-cert", file, "--tls-key", file},
		"health":  {"health"},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			if err := run(t.Context(), args, nil, io.Discard, &said); err == nil {
				t.Fatal("it started")
			}
			if strings.Count(said.String(), "\n") != 1 {
				t.Fatal(said.String())
			}
			if _, err := os.Stat(file); err == nil {
				t.Fatal("it made the file")
			}
		})
	}
}
