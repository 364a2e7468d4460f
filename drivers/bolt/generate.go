// Package bolt holds how this module's generated code is made; the driver itself is cmd/outrigger-driver-bolt.
package bolt

//go:generate ../../tools/node_modules/.bin/buf generate ../.. --path ../../proto/outrigger/handshake --path ../../proto/outrigger/meta
