package options

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func configFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bolt.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsOverVariablesOverFile(t *testing.T) {
	path := configFile(t, "file: /from/file\nlisten: file:1\nlockWait: 1m\nreadOnly: true\ntlsCert: c\ntlsKey: k\ntlsClientCa: a\ntlsAllowClient: a, b\n")
	options, err := Read(
		[]string{"--listen", "flag:1", "--log-level=warn"},
		[]string{"OUTRIGGER_CONFIG=" + path, "OUTRIGGER_LISTEN=variable:1", "OUTRIGGER_LOCK_WAIT=2d", "OUTRIGGER_FILE="},
	)
	if err != nil {
		t.Fatal(err)
	}
	if options.Listen != "flag:1" || options.LockWait != 48*time.Hour || options.File != "/from/file" || !options.ReadOnly ||
		options.LogLevel != slog.LevelWarn || len(options.TLSAllowed) != 2 || options.TLSAllowed[1] != "b" {
		t.Fatalf("%+v", options)
	}
	// What stands above a mistake has put it right.
	if _, err := Read([]string{"--file", "f", "--listen", "l:1", "--lock-wait", "1s"}, []string{"OUTRIGGER_LOCK_WAIT=soon"}); err != nil {
		t.Fatal(err)
	}
}

func TestEachMistakeIsNamed(t *testing.T) {
	need := []string{"--file", "f", "--listen", "127.0.0.1:1"}
	for name, wrong := range map[string]struct {
		args        []string
		environment []string
		sentence    string
	}{
		"flag":        {[]string{"--fle", "x"}, nil, "there is no flag --fle"},
		"no value":    {[]string{"--file"}, nil, "--file needs a value"},
		"argument":    {[]string{"serve"}, nil, `unknown argument "serve"`},
		"no file":     {[]string{"--listen", "x"}, nil, "--file is missing"},
		"no listen":   {[]string{"--file", "x"}, nil, "--listen is missing"},
		"boolean":     {append(need, "--read-only=maybe"), nil, `--read-only is "maybe", not true or false`},
		"duration":    {need, []string{"OUTRIGGER_LOCK_WAIT=soon"}, `OUTRIGGER_LOCK_WAIT is "soon", not a time`},
		"negative":    {append(need, "--lock-wait", "-1s"), nil, "not a time"},
		"level":       {append(need, "--log-level", "loud"), nil, "not one of trace"},
		"half TLS":    {append(need, "--tls-cert", "c"), nil, "belong together"},
		"CA alone":    {append(need, "--tls-client-ca", "c"), nil, "need --tls-cert"},
		"names alone": {append(need, "--tls-cert", "c", "--tls-key", "k", "--tls-allow-client", "n"), nil, "needs --tls-client-ca"},
		"sealed init": {[]string{"--file", "f", "--init", "--read-only"}, nil, "--init and --read-only"},
		"file":        {append(need, "--config", "/nowhere.yaml"), nil, "cannot be read"},
		"key":         {append(need, "--config", configFile(t, "file: a\nlistn: b\n")), nil, "bolt.yaml:2: there is no key listn"},
		"key twice":   {append(need, "--config", configFile(t, "file: a\nfile: b\n")), nil, "twice"},
		"not a value": {append(need, "--config", configFile(t, "file: [a]\n")), nil, "file is not one value"},
		"not a list":  {append(need, "--config", configFile(t, "just text\n")), nil, `"name: value"`},
		"not YAML":    {append(need, "--config", configFile(t, "a: b: c\n")), nil, "cannot be read"},
		"value":       {append(need, "--config", configFile(t, "lockWait: soon\n")), nil, `lockWait in `},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(wrong.args, wrong.environment)
			if err == nil || !strings.Contains(err.Error(), wrong.sentence) {
				t.Fatalf("%v, not something with %q", err, wrong.sentence)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("more than one line: %v", err)
			}
		})
	}
}

func TestHelpNeedsNothingElse(t *testing.T) {
	if options, err := Read([]string{"-h"}, nil); err != nil || !options.Help {
		t.Fatal(options, err)
	}
	// Variables of the container must not turn a server into a printer.
	if options, err := Read([]string{"--file", "f", "--listen", "l:1"}, []string{"OUTRIGGER_VERSION=1"}); err != nil || options.Version {
		t.Fatal(options, err)
	}
	for _, spec := range specs {
		if !strings.Contains(Usage("p"), flagOf(spec.name)+" ") {
			t.Fatal(spec.name)
		}
	}
}
