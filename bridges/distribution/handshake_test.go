package outrigger

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	handshakev1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/handshake/v1"
)

func TestDriversThatAreRefused(t *testing.T) {
	for name, one := range map[string]struct {
		change func(*fake)
		says   string
	}{
		"another major":  {func(f *fake) { f.versions = []*handshakev1.ApiVersion{{Major: 2}} }, "speaks outrigger.blob 2.0: use a release that speaks outrigger.blob 1.0"},
		"no version":     {func(f *fake) { f.versions = nil }, "does not speak outrigger.blob"},
		"a slow clock":   {func(f *fake) { f.clock = -time.Hour }, "set both by NTP"},
		"a fast clock":   {func(f *fake) { f.clock = 5 * time.Second }, "set both by NTP"},
		"no contract":    {func(f *fake) { f.contract = "" }, "[call.contract.01]"},
		"no store id":    {func(f *fake) { f.blobID = "" }, "[handshake.describe.04]"},
		"another's meta": {func(f *fake) { f.put(pairKey, []byte("33333333-3333-4333-8333-333333333333")) }, "belongs to the blob store 33333333"},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			one.change(f)
			_, err := f.connect(t)
			var refusal *refusedError
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), one.says) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestNewerMinorIsUsed(t *testing.T) {
	f := startFake(t)
	f.versions = []*handshakev1.ApiVersion{{Major: 2, Minor: 1}, {Major: 1, Minor: 7}}
	f.connected(t)
}

func TestEveryCallNamesTheStoreAndChangesCarryTheirTime(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	if err := d.PutContent(ctx, "/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.GetContent(ctx, "/x"); err != nil {
		t.Fatal(err)
	}
	put := f.metadata["/outrigger.blob.v1.BlobService/Put"]
	notAfter, err := strconv.ParseInt(put.Get(headerNotAfter)[0], 10, 64)
	if left := time.Until(time.UnixMilli(notAfter)); err != nil || left < time.Second || left > 3*time.Second {
		t.Fatalf("not-after is %v away: %v", left, err)
	}
	read := f.metadata["/outrigger.blob.v1.BlobService/Read"]
	if read.Get(headerStore)[0] != fakeBlobID || len(read.Get(headerNotAfter)) != 0 {
		t.Fatalf("a Read carries %v", read)
	}
}

func TestHealthIsThatOfBothStores(t *testing.T) {
	f := startFake(t)
	d := f.connected(t, func(config *Config) { config.Resume = 300 * time.Millisecond })
	ctx := context.WithValue(context.Background(), requestIDKey, "a-request") // distribution's key
	if info, err := d.Stat(ctx, "/"); err != nil || !info.IsDir() || info.Path() != "/" {
		t.Fatalf("got %v, %v", info, err)
	}
	if id := f.metadata["/outrigger.meta.v1.MetaService/Get"].Get(headerRequest); !slices.Equal(id, []string{"a-request"}) {
		t.Fatalf("the request is named %v", id)
	}
	for _, method := range []string{"Stat", "Get"} {
		f.before = func(called string) error {
			if called == method {
				return errGone
			}
			return nil
		}
		if _, err := d.Stat(ctx, "/"); err == nil {
			t.Fatalf("all is well without %s", method)
		}
	}
}

func TestANewContractIsDescribed(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	before := f.count("Describe")
	for range 3 {
		_, _ = d.Stat(ctx, "/x")
	}
	if f.count("Describe") != before {
		t.Fatal("it is described again without need")
	}
	f.mu.Lock()
	f.contract, f.capabilities = "two", []string{capabilitySignURL}
	f.mu.Unlock()
	d.blobs.describedAt, d.meta.describedAt = time.Time{}, time.Time{}
	_, _ = d.Stat(ctx, "/x") // meets the new contract
	_, _ = d.Stat(ctx, "/x") // describes it
	if f.count("Describe") == before || !d.blobs.known().can(capabilitySignURL) {
		t.Fatal("the new contract was not noticed")
	}
}

// Another store behind the address is never written to, and the right one is used again once it is back.
func TestAnotherStoreIsRefusedInMidLife(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	become := func(id, contract string) {
		f.mu.Lock()
		f.blobID, f.contract = id, contract
		f.mu.Unlock()
		d.blobs.mu.Lock()
		d.blobs.describedAt = time.Time{}
		d.blobs.mu.Unlock()
	}
	become("33333333-3333-4333-8333-333333333333", "two")
	if err := d.PutContent(ctx, "/x", nil); err == nil {
		t.Fatal("another store was written to")
	}
	become("33333333-3333-4333-8333-333333333333", "two")
	if err := d.PutContent(ctx, "/x", nil); err == nil || !strings.Contains(err.Error(), "is 33333333-3333-4333-8333-333333333333, not "+fakeBlobID) {
		t.Fatalf("got %v", err)
	}
	become(fakeBlobID, "one")
	if err := d.PutContent(ctx, "/x", nil); err != nil {
		t.Fatal(err)
	}
}

func TestRedirect(t *testing.T) {
	f := startFake(t)
	f.capabilities = []string{capabilitySignURL}
	d := f.connected(t, func(config *Config) { config.URLTTL = time.Minute })
	for method, wanted := range map[string]string{"GET": "https://example.com/x/y?ttl=60000", "HEAD": "https://example.com/x/y?ttl=60000", "PUT": ""} {
		if url, err := d.RedirectURL(httptest.NewRequest(method, "/", nil), "/x/y"); err != nil || url != wanted {
			t.Errorf("%s: %q, %v", method, url, err)
		}
	}
	plain := startFake(t).connected(t)
	if url, err := plain.RedirectURL(httptest.NewRequest("GET", "/", nil), "/x/y"); err != nil || url != "" {
		t.Errorf("without the capability: %q, %v", url, err)
	}
}

func TestCallsWaitForADriverThatIsAway(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	fail := 4
	f.before = func(method string) error {
		if method == "Put" && fail > 0 {
			fail--
			return errGone
		}
		return nil
	}
	if err := d.PutContent(ctx, "/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	moves := 0
	f.after = func(method string) error {
		if method == "Move" && moves == 0 {
			moves++
			return errGone
		}
		return nil
	}
	if err := d.Move(ctx, "/x", "/y"); err != nil {
		t.Fatalf("a Move whose answer was lost: %v", err)
	}
	if err := d.Move(ctx, "/x", "/y"); err != (storagedriver.PathNotFoundError{Path: "/x"}) {
		t.Fatalf("a Move without source: %v", err)
	}
}
