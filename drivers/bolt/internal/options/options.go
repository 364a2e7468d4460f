// Package options reads what the operator says: flags over OUTRIGGER_* variables, those over a YAML file, those over
// defaults. Unknown flags and keys are errors, and every error is one sentence that says what to change.
package options

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Options of the driver.
type Options struct {
	File          string
	Listen        string
	Init          bool
	ReadOnly      bool
	LockWait      time.Duration
	Insecure      bool
	TLSCert       string
	TLSKey        string
	TLSClientCA   string
	TLSAllowed    []string
	MetricsListen string
	LogLevel      slog.Level
	// Version and Help ask for text on stdout and nothing else.
	Version, Help bool
}

// spec is one option under its three names: camelCase in the file, and what follows from it.
type spec struct {
	name string
	kind string // as --help shows it; "" is a boolean
	doc  string
	set  func(o *Options, text string) error
}

var specs = []spec{
	{"file", "PATH", "The bbolt file that is the store (needed).", text(func(o *Options) *string { return &o.File })},
	{"listen", "ADDRESS", "Where to serve: unix:///path/x.sock or host:port (needed).", text(func(o *Options) *string { return &o.Listen })},
	{"config", "PATH", "A YAML file with these options by their camelCase names.", nil},
	{"init", "", "Make the file with a new store id, or give it one, and exit.", boolean(func(o *Options) *bool { return &o.Init })},
	{"readOnly", "", "Refuse every change: the store is sealed.", boolean(func(o *Options) *bool { return &o.ReadOnly })},
	{"lockWait", "DURATION", "How long to wait for another process to give up the file (default 0s).", setLockWait},
	{"insecure", "", "Serve plain text beyond loopback all the same.", boolean(func(o *Options) *bool { return &o.Insecure })},
	{"tlsCert", "PATH", "PEM file with the certificate chain; reread when it changes.", text(func(o *Options) *string { return &o.TLSCert })},
	{"tlsKey", "PATH", "PEM file with the certificate's key; reread when it changes.", text(func(o *Options) *string { return &o.TLSKey })},
	{"tlsClientCa", "PATH", "PEM file: clients must have a certificate signed by it; reread when it changes.", text(func(o *Options) *string { return &o.TLSClientCA })},
	{"tlsAllowClient", "NAMES", "Names, comma separated, one of which a client's certificate must have.", setAllowed},
	{"metricsListen", "ADDRESS", "host:port of an HTTP listener for /metrics; none if absent.", text(func(o *Options) *string { return &o.MetricsListen })},
	{"logLevel", "LEVEL", "How much is logged: trace, debug, info, warn, error, fatal, silent (default info).", setLogLevel},
	{"version", "", "Print the release and exit.", boolean(func(o *Options) *bool { return &o.Version })},
	{"help", "", "Print this and exit.", boolean(func(o *Options) *bool { return &o.Help })},
}

// Levels under the names that every Outrigger driver takes.
var levels = map[string]slog.Level{
	"trace": slog.LevelDebug - 4, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
	"error": slog.LevelError, "fatal": slog.LevelError + 4, "silent": slog.LevelError + 100,
}

// Read gives the options, or one sentence. environment is as os.Environ gives it.
func Read(args, environment []string) (Options, error) {
	flags, err := readFlags(args)
	if err != nil {
		return Options{}, err
	}
	variables := map[string]string{}
	for _, entry := range environment {
		if name, value, found := strings.Cut(entry, "="); found && value != "" {
			variables[name] = value
		}
	}
	path, given := flags["config"]
	if !given {
		path = variables[variableOf("config")]
	}
	file, err := readFile(path)
	if err != nil {
		return Options{}, err
	}
	options := Options{LogLevel: slog.LevelInfo}
	for _, spec := range specs {
		if spec.set == nil {
			continue
		}
		// Only the source that counts is read: what stands above a mistake has put it right.
		where, value := flagOf(spec.name), ""
		if value, given = flags[spec.name]; !given {
			where = variableOf(spec.name)
			if value, given = variables[where]; !given || spec.name == "version" || spec.name == "help" {
				where = spec.name + " in " + path
				if value, given = file[spec.name]; !given {
					continue
				}
			}
		}
		if err := spec.set(&options, value); err != nil {
			return Options{}, fmt.Errorf("%s is %q, not %w", where, value, err)
		}
	}
	if options.Version || options.Help {
		return options, nil
	}
	return options, options.check()
}

func (o Options) check() error {
	if o.File == "" {
		return errors.New("--file is missing: the bbolt file (or set OUTRIGGER_FILE)")
	}
	if o.Init {
		if o.ReadOnly {
			return errors.New("--init and --read-only are both given: --init writes")
		}
		return nil
	}
	if o.Listen == "" {
		return errors.New("--listen is missing: unix:///path/x.sock or host:port (or set OUTRIGGER_LISTEN)")
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key belong together: one is missing")
	}
	if o.TLSCert == "" && (o.TLSClientCA != "" || len(o.TLSAllowed) > 0) {
		return errors.New("--tls-client-ca and --tls-allow-client need --tls-cert and --tls-key")
	}
	if len(o.TLSAllowed) > 0 && o.TLSClientCA == "" {
		return errors.New("--tls-allow-client needs --tls-client-ca: without it clients show no certificate")
	}
	return nil
}

func readFlags(args []string) (map[string]string, error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	values := map[string]string{}
	for _, spec := range specs {
		keep := func(value string) error {
			values[spec.name] = value
			return nil
		}
		if spec.kind == "" {
			set.BoolFunc(flagOf(spec.name)[2:], spec.doc, keep)
		} else {
			set.Func(flagOf(spec.name)[2:], spec.doc, keep)
		}
	}
	set.BoolFunc("h", "", func(string) error { values["help"] = "true"; return nil })
	if err := set.Parse(args); err != nil {
		text := err.Error()
		if name, found := strings.CutPrefix(text, "flag provided but not defined: -"); found {
			return nil, fmt.Errorf("there is no flag --%s: --help lists them", strings.TrimPrefix(name, "-"))
		}
		if name, found := strings.CutPrefix(text, "flag needs an argument: -"); found {
			return nil, fmt.Errorf("--%s needs a value", strings.TrimPrefix(name, "-"))
		}
		return nil, fmt.Errorf("%s: --help lists the flags", text)
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q: there are only flags, --help lists them", set.Arg(0))
	}
	return values, nil
}

func readFile(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	var content yaml.Node
	if err := yaml.Unmarshal(bytes, &content); err != nil {
		return nil, fmt.Errorf("the configuration file %s cannot be read: %w", path, err)
	}
	values := map[string]string{}
	if content.Kind == 0 {
		return values, nil // an empty file
	}
	lines := content.Content[0]
	if lines.Kind != yaml.MappingNode {
		return nil, fmt.Errorf(`the configuration file %s is not a list of "name: value" lines`, path)
	}
	for i := 0; i < len(lines.Content); i += 2 {
		name, value := lines.Content[i], lines.Content[i+1]
		if !slices.Contains(fileKeys(), name.Value) {
			return nil, fmt.Errorf("%s:%d: there is no key %s; known are %s", path, name.Line, name.Value, strings.Join(fileKeys(), ", "))
		}
		if _, twice := values[name.Value]; twice {
			return nil, fmt.Errorf("%s:%d: the key %s is there twice", path, name.Line, name.Value)
		}
		if value.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("%s:%d: %s is not one value", path, value.Line, name.Value)
		}
		values[name.Value] = value.Value
	}
	return values, nil
}

func fileKeys() (names []string) {
	for _, spec := range specs {
		if spec.name != "config" && spec.name != "version" && spec.name != "help" {
			names = append(names, spec.name)
		}
	}
	return names
}

// Usage is what --help prints.
func Usage(program string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s --file PATH --listen ADDRESS [flags]\n%s health [ADDRESS]\n\n", program, program)
	text.WriteString("An Outrigger meta store in a bbolt file.\n\n")
	for _, spec := range specs {
		shown := strings.TrimSpace(flagOf(spec.name) + " " + spec.kind)
		fmt.Fprintf(&text, "  %-25s %s", shown, spec.doc)
		if spec.name != "version" && spec.name != "help" {
			fmt.Fprintf(&text, " [%s]", variableOf(spec.name))
		}
		text.WriteByte('\n')
	}
	text.WriteString("\nFlags win over OUTRIGGER_* variables, those over the file.\n")
	return text.String()
}

// flagOf gives "--lock-wait" for "lockWait".
func flagOf(name string) string { return "--" + strings.ToLower(apart(name, "-")) }

// variableOf gives "OUTRIGGER_LOCK_WAIT" for "lockWait".
func variableOf(name string) string { return "OUTRIGGER_" + strings.ToUpper(apart(name, "_")) }

func apart(name, between string) string {
	var words strings.Builder
	for _, r := range name {
		if 'A' <= r && r <= 'Z' {
			words.WriteString(between)
		}
		words.WriteRune(r)
	}
	return words.String()
}

func text(field func(*Options) *string) func(*Options, string) error {
	return func(o *Options, value string) error {
		*field(o) = value
		return nil
	}
}

func boolean(field func(*Options) *bool) func(*Options, string) error {
	return func(o *Options, value string) error {
		switch value {
		case "true", "1":
			*field(o) = true
		case "false", "0":
			*field(o) = false
		default:
			return errors.New("true or false")
		}
		return nil
	}
}

func setLockWait(o *Options, value string) (err error) {
	o.LockWait, err = parseDuration(value)
	return err
}

func setAllowed(o *Options, value string) error {
	for name := range strings.SplitSeq(value, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return errors.New("names, comma separated")
		}
		o.TLSAllowed = append(o.TLSAllowed, strings.TrimSpace(name))
	}
	return nil
}

func setLogLevel(o *Options, value string) error {
	level, found := levels[value]
	if !found {
		return errors.New("one of trace, debug, info, warn, error, fatal, silent")
	}
	o.LogLevel = level
	return nil
}

// parseDuration takes what time.ParseDuration does, days, and a bare 0.
func parseDuration(value string) (time.Duration, error) {
	wrong := errors.New("a time such as 500ms, 30s, 5m, 24h or 7d")
	if days, found := strings.CutSuffix(value, "d"); found {
		number, err := strconv.ParseFloat(days, 64)
		if err != nil || number < 0 || number > 36500 {
			return 0, wrong
		}
		return time.Duration(number * 24 * float64(time.Hour)), nil
	}
	duration, err := time.ParseDuration(value)
	if err != nil || duration < 0 {
		return 0, wrong
	}
	return duration, nil
}
