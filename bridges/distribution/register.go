package outrigger

import (
	"context"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/base"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
)

func init() {
	factory.Register(driverName, driverFactory{})
}

type driverFactory struct{}

func (driverFactory) Create(ctx context.Context, parameters map[string]any) (storagedriver.StorageDriver, error) {
	config, err := ParseConfig(parameters)
	if err != nil {
		return nil, &StartError{err}
	}
	d, err := New(ctx, config)
	if err != nil {
		return nil, &StartError{err}
	}
	return d, nil
}

// StartError says in a sentence why a registry does not start with this driver. distribution panics with it.
type StartError struct{ Reason error }

func (e *StartError) Error() string { return driverName + ": " + e.Reason.Error() }

func (e *StartError) Unwrap() error { return e.Reason }

type baseEmbed struct{ base.Base }

// Driver keeps a registry's data behind Outrigger drivers.
type Driver struct {
	baseEmbed
	driver *driver
}

var _ storagedriver.StorageDriver = &Driver{}

// New connects to both stores. It waits for drivers that do not answer yet (Config.ConnectWait) and refuses those that
// cannot be used.
func New(ctx context.Context, config Config) (*Driver, error) {
	blobs, err := dial(blobKind, config.Blobs, config.BlobsID, &config)
	if err != nil {
		return nil, err
	}
	meta, err := dial(metaKind, config.Meta, config.MetaID, &config)
	if err != nil {
		blobs.close()
		return nil, err
	}
	d := &driver{blobs: newBlobStore(blobs), meta: newMetaStore(meta)}
	if err := d.connect(ctx); err != nil {
		blobs.close()
		meta.close()
		return nil, err
	}
	return &Driver{baseEmbed{base.Base{StorageDriver: d}}, d}, nil
}

func (d *driver) connect(ctx context.Context) error {
	if err := d.blobs.connect(ctx); err != nil {
		return err
	}
	if err := d.meta.connect(ctx); err != nil {
		return err
	}
	if err := d.meta.checkPair(ctx, d.blobs.store); err != nil {
		return err
	}
	return d.meta.clearLease(ctx)
}

// Close ends the connections. distribution itself has no use for it: its drivers live as long as the process.
func (d *Driver) Close() {
	d.driver.blobs.close()
	d.driver.meta.close()
}
