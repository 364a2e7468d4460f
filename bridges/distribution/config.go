package outrigger

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what `storage: outrigger:` says. README.md describes each parameter.
type Config struct {
	// Blobs and Meta are addresses: unix:///path/x.sock, host:port or dns:///name:port. Meta defaults to Blobs.
	Blobs, Meta string
	// BlobsID and MetaID pin the stores' ids; empty: whichever is met first is kept to.
	BlobsID, MetaID string
	// TLS is used for addresses that are not unix sockets; nil: none.
	TLS *tls.Config
	// CallTimeout bounds one attempt of a unary call, ListTimeout one page of a listing.
	CallTimeout, ListTimeout time.Duration
	// StreamTimeout is how long a driver may owe the next message of a stream.
	StreamTimeout time.Duration
	// Resume is how long a driver may be away before a call, a read or an upload is given up.
	Resume time.Duration
	// ConnectWait is how long a start waits for drivers that do not answer yet.
	ConnectWait time.Duration
	// ReplayBuffer bounds the bytes that all uploads together keep until the driver has persisted them.
	ReplayBuffer int64
	// URLTTL is how long a signed URL is good for.
	URLTTL time.Duration
}

const (
	defaultCallTimeout   = 10 * time.Second
	defaultListTimeout   = 30 * time.Second
	defaultStreamTimeout = 30 * time.Second
	defaultResume        = 30 * time.Second
	defaultConnectWait   = 5 * time.Minute
	defaultReplayBuffer  = 128 << 20
	minReplayBuffer      = 8 << 20
	defaultURLTTL        = 20 * time.Minute
)

var (
	addressPattern = regexp.MustCompile(`^(?:unix:///.+|(?:dns:///)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5})$`)
	uuidPattern    = regexp.MustCompile(`(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	sizePattern    = regexp.MustCompile(`^(\d+)\s*(|B|KiB|MiB|GiB)$`)
)

// parameters reads a configuration's values and remembers the first that is wrong, and which keys there are.
type parameters struct {
	where  string
	values map[string]any
	known  []string
	err    error
}

// ParseConfig reads the parameters that distribution hands over. Its error names the key and what would be right.
func ParseConfig(values map[string]any) (Config, error) {
	p := &parameters{where: "storage.outrigger", values: values}
	config := Config{
		Blobs:         p.text("blobs"),
		Meta:          p.text("meta"),
		BlobsID:       p.text("blobsid"),
		MetaID:        p.text("metaid"),
		CallTimeout:   p.duration("calltimeout", defaultCallTimeout),
		ListTimeout:   p.duration("listtimeout", defaultListTimeout),
		StreamTimeout: p.duration("streamtimeout", defaultStreamTimeout),
		Resume:        p.duration("resume", defaultResume),
		ConnectWait:   p.duration("connectwait", defaultConnectWait),
		ReplayBuffer:  p.size("replaybuffer", defaultReplayBuffer, minReplayBuffer),
		URLTTL:        p.duration("urlttl", defaultURLTTL),
	}
	if section, given := p.section("tls"); given {
		config.TLS = readTLS(section)
		p.fail(section.end())
	}
	if config.Meta == "" {
		config.Meta = config.Blobs
	}
	if config.Blobs == "" {
		p.fail(fmt.Errorf("%s.blobs is missing: write the address of an Outrigger driver, such as unix:///run/outrigger/driver.sock", p.where))
	}
	// In this order: the address of the metadata may be that of the blobs, and the key that was written is to be named.
	p.checkAddress("blobs", config.Blobs)
	p.checkAddress("meta", config.Meta)
	p.checkID("blobsid", config.BlobsID)
	p.checkID("metaid", config.MetaID)
	return config, p.end()
}

func (p *parameters) checkAddress(key, address string) {
	if address != "" && !addressPattern.MatchString(address) {
		p.fail(fmt.Errorf("%s.%s: %q is not an address: write unix:///path/driver.sock, host:port or dns:///name:port", p.where, key, address))
	}
}

func (p *parameters) checkID(key, id string) {
	if id != "" && !uuidPattern.MatchString(id) {
		p.fail(fmt.Errorf("%s.%s: %q is not a store id: those are UUIDs, `outrigger describe ADDR` shows them", p.where, key, id))
	}
}

func (p *parameters) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// end names a key that nothing asked for, unless something else was wrong before.
func (p *parameters) end() error {
	for _, key := range slices.Sorted(maps.Keys(p.values)) {
		if !slices.Contains(p.known, key) {
			slices.Sort(p.known)
			p.fail(fmt.Errorf("%s.%s is unknown: there are %s", p.where, key, strings.Join(p.known, ", ")))
		}
	}
	return p.err
}

func (p *parameters) value(key string) (any, bool) {
	p.known = append(p.known, key)
	value, given := p.values[key]
	return value, given && value != nil
}

func (p *parameters) text(key string) string {
	value, given := p.value(key)
	if !given {
		return ""
	}
	text, ok := value.(string)
	if !ok || text == "" {
		p.fail(fmt.Errorf("%s.%s: %v is not a text", p.where, key, value))
	}
	return text
}

func (p *parameters) duration(key string, otherwise time.Duration) time.Duration {
	value, given := p.value(key)
	if !given {
		return otherwise
	}
	duration, err := time.ParseDuration(fmt.Sprint(value))
	if err != nil || duration <= 0 {
		p.fail(fmt.Errorf("%s.%s: %v is not a time: write 30s, 500ms or 5m", p.where, key, value))
	}
	return duration
}

func (p *parameters) size(key string, otherwise, least int64) int64 {
	value, given := p.value(key)
	if !given {
		return otherwise
	}
	match := sizePattern.FindStringSubmatch(strings.TrimSpace(fmt.Sprint(value)))
	if match != nil {
		shift := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]
		number, err := strconv.ParseInt(match[1], 10, 32)
		if match[2] == "" || match[2] == "B" {
			number, err = strconv.ParseInt(match[1], 10, 62)
		}
		if err == nil && number<<shift >= least {
			return number << shift
		}
	}
	p.fail(fmt.Errorf("%s.%s: %v is not a size of at least %d MiB: write 128MiB", p.where, key, value, least>>20))
	return otherwise
}

func (p *parameters) section(key string) (*parameters, bool) {
	value, given := p.value(key)
	inner := &parameters{where: p.where + "." + key, values: map[string]any{}}
	switch section := value.(type) {
	case map[string]any:
		inner.values = section
	case map[any]any:
		for key, value := range section {
			inner.values[fmt.Sprint(key)] = value
		}
	default:
		if given {
			p.fail(fmt.Errorf("%s: %v is not a section: write the keys below it, or {}", inner.where, value))
		}
	}
	// `tls:` with nothing behind it is a null that may have been meant as "yes": say so instead of talking in the clear.
	if _, present := p.values[key]; present && !given {
		p.fail(fmt.Errorf("%s is empty: write {} for TLS with the system's authorities, or take it away", inner.where))
	}
	return inner, given
}

func readTLS(p *parameters) *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: p.text("servername")}
	ca, cert, key := p.text("ca"), p.text("cert"), p.text("key")
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			p.fail(fmt.Errorf("%s.ca: %w", p.where, err))
		}
		config.RootCAs = x509.NewCertPool()
		if err == nil && !config.RootCAs.AppendCertsFromPEM(pem) {
			p.fail(fmt.Errorf("%s.ca: %s holds no PEM certificate", p.where, ca))
		}
	}
	switch {
	case (cert == "") != (key == ""):
		p.fail(fmt.Errorf("%s: cert and key belong together: give both or neither", p.where))
	case cert != "":
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			p.fail(fmt.Errorf("%s.cert: %w", p.where, err))
		}
		// Read for each handshake: certificates are renewed while the registry runs.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		}
	}
	return config
}
