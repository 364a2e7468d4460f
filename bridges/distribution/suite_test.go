package outrigger

import (
	"context"
	"os"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/testsuites"
)

// TestSuite is distribution's own suite against the drivers at two addresses, which test/bridges/suite.test.ts starts.
func TestSuite(t *testing.T) {
	blobs, meta := os.Getenv("OUTRIGGER_BLOBS"), os.Getenv("OUTRIGGER_META")
	if blobs == "" {
		t.Skip("OUTRIGGER_BLOBS names no driver")
	}
	if meta == "" {
		meta = blobs
	}
	testsuites.Driver(t, func() (storagedriver.StorageDriver, error) {
		config, err := ParseConfig(map[string]any{"blobs": blobs, "meta": meta})
		if err != nil {
			return nil, err
		}
		return New(context.Background(), config)
	}, false)
}
