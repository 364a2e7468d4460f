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
  "fake-gcs-server": {
    module: "github.com/fsouza/fake-gcs-server",
    version: "v1.56.1",
    program: "fake-gcs-server",
  },
  // A real S3 server, with conditional writes.
  versitygw: { module: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0", program: "versitygw" },
} as const;

export type GoProgram = keyof typeof goPrograms;

/** Go programs of this repository, each in a module of its own: `go build` in `folder`. */
export interface OwnGoSource {
  readonly folder: string;
  readonly package: string;
  /** The package's tests as a program. */
  readonly tests?: true;
}

export const ownGoPrograms = {
  "outrigger-driver-bolt": { folder: "drivers/bolt", package: "./cmd/outrigger-driver-bolt" },
  "bridge-registry": { folder: "bridges/distribution", package: "./cmd/registry" },
  "bridge-tests": { folder: "bridges/distribution", package: ".", tests: true },
} as const satisfies Readonly<Record<string, OwnGoSource>>;

export type OwnGoProgram = keyof typeof ownGoPrograms;

/** Python environments by name: what pip installs there, all of it pinned. */
export const pythonEnvironments = {
  "opendal-python": { requirements: ["drivers/opendal/requirements.txt", "drivers/opendal/requirements-dev.txt"] },
} as const;

export type PythonEnvironment = keyof typeof pythonEnvironments;

/** Debian packages by the program that is looked for: their versions are the distribution's. */
export const debianPrograms = {
  skopeo: "skopeo",
  buildah: "buildah",
  debootstrap: "debootstrap",
  htpasswd: "apache2-utils",
  "docker-registry": "docker-registry",
  "redis-server": "redis-server",
  chromium: "chromium",
} as const;

export type DebianProgram = keyof typeof debianPrograms;

/** npm programs and libraries, each with an installation of its own: large, and needed by one group of tests. */
export const npmPrograms = {
  azurite: { packages: ["azurite@3.37.0"], program: "node_modules/.bin/azurite-blob" },
  // Drives Debian's chromium; brings no browser of its own.
  "playwright-core": { packages: ["playwright-core@1.65.1"], program: "node_modules/playwright-core/index.mjs" },
} as const;

export type NpmProgram = keyof typeof npmPrograms;

/** Java programs by Maven coordinates: all their jars in one folder, which is what `findTool` gives. */
export const mavenPrograms = {
  "dynamodb-local": { artifact: "com.amazonaws:DynamoDBLocal:2.6.0" },
} as const;

export type MavenProgram = keyof typeof mavenPrograms;

/** Drivers with a package.json of their own. */
export const sdkDrivers = ["azure", "dynamodb", "gcs", "lmdb", "redis", "s3"] as const;

export type SdkDriver = (typeof sdkDrivers)[number];
