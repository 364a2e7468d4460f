// Package outrigger is a storage driver for distribution (registry:3) that keeps everything behind an Outrigger storage
// driver: a process of its own, in any language, reached by its address. Importing the package registers it under the
// name "outrigger"; README.md lists its parameters.
package outrigger
