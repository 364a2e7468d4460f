/** Every program that the tests need beside Node, pinned here and nowhere else. */

/** Built by `go install <module>@<version>`; `program` is what that makes. */
export const goPrograms = {
  crane: { module: "github.com/google/go-containerregistry/cmd/crane", version: "v0.20.6", program: "crane" },
  distribution: {
    module: "github.com/distribution/distribution/v3/cmd/registry",
    version: "v3.1.2",
    program: "registry",
  },
  "protoc-gen-go": {
    module: "google.golang.org/protobuf/cmd/protoc-gen-go",
    version: "v1.36.10",
    program: "protoc-gen-go",
  },
  "protoc-gen-go-grpc": {
    module: "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
    version: "v1.6.2",
    program: "protoc-gen-go-grpc",
  },
} as const;

export type GoProgram = keyof typeof goPrograms;

/** Go programs of this repository, each in a module of its own: `go build` in `folder`. */
export const ownGoPrograms = {
  "outrigger-driver-bolt": { folder: "drivers/bolt", package: "./cmd/outrigger-driver-bolt" },
} as const;

export type OwnGoProgram = keyof typeof ownGoPrograms;

/** Debian packages by the program that is looked for: their versions are the distribution's. */
export const debianPrograms = {
  skopeo: "skopeo",
  buildah: "buildah",
  debootstrap: "debootstrap",
  htpasswd: "apache2-utils",
  "docker-registry": "docker-registry",
} as const;

export type DebianProgram = keyof typeof debianPrograms;
