// Registry is distribution's own registry with one more storage driver, "outrigger", which speaks to any Outrigger
// storage driver by its address. Everything else is as in distribution's cmd/registry.
package main

import (
	"fmt"
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/silly"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/proxy"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/azure"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/gcs"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/middleware/cloudfront"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/middleware/redirect"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/middleware/rewrite"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"

	outrigger "github.com/outrigger-registry/outrigger/bridges/distribution"
)

func main() {
	defer func() {
		failure := recover()
		if failure == nil {
			return
		}
		// A configuration or a driver that cannot be used is the operator's to mend: a sentence, not a stack.
		if refusal, ok := failure.(*outrigger.StartError); ok {
			fmt.Fprintf(os.Stderr, "registry: %v\n", refusal)
			os.Exit(1)
		}
		panic(failure)
	}()
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
