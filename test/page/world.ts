/** A small world of images, as a registry of some years holds them, in the words of the search. */

/** Of all times in the world. */
export const NOW_MS = Date.parse("2026-11-29T12:00:00Z");

export type Fields = Record<string, unknown>;

export interface WorldImage {
  readonly repository: string;
  readonly tag: string;
  /** Over what an ImageSummary has by default. */
  readonly fields?: Fields;
}

export function digestFor(seed: string): string {
  let hash = 2166136261;
  let hex = "";
  while (hex.length < 64) {
    for (const character of `${seed}/${hex.length}`) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 16777619);
    hex += (hash >>> 0).toString(16).padStart(8, "0");
  }
  return `sha256:${hex.slice(0, 64)}`;
}

export const minutesAgo = (minutes: number) => new Date(NOW_MS - minutes * 60_000).toISOString();

export function layer(seed: string, sizeBytes: number): Fields {
  return { Digest: digestFor(seed), Size: String(sizeBytes) };
}

/** One platform of an image. */
export function platform(
  seed: string,
  os: string,
  arch: string,
  layers: readonly Fields[],
  history?: Fields[],
): Fields {
  return {
    Digest: digestFor(`${seed}/${os}/${arch}`),
    ConfigDigest: digestFor(`${seed}/${os}/${arch}/config`),
    LastUpdated: "2026-10-01T08:30:00Z",
    Size: String(layers.reduce((sum, each) => sum + Number(each["Size"]), 1500)),
    IsSigned: false,
    Platform: { Os: os, Arch: arch },
    ArtifactType: "application/vnd.oci.image.config.v1+json",
    Layers: layers,
    History: history ?? [],
    Referrers: [],
  };
}

export function step(createdBy: string, made?: Fields): Fields {
  return {
    Layer: made ?? { Digest: "", Size: "0" },
    HistoryDescription: {
      Created: "2026-10-01T08:30:00Z",
      CreatedBy: createdBy,
      Comment: "",
      EmptyLayer: made === undefined,
    },
  };
}

/** Names as people give them, and what a registry of some years holds. */
export function smallWorld(): WorldImage[] {
  const node = "library/node:22-bookworm";
  const base = layer("debian", 48_493_312);
  const steps = (seed: string) => {
    const [one, two, three] = [base, layer(`${seed}/apt`, 24_012_544), layer(`${seed}/node`, 52_428_800)];
    const history = [
      step("/bin/sh -c #(nop) ADD file:1f4bdb1c2ad in / ", one),
      step('/bin/sh -c #(nop)  CMD ["bash"]'),
      step(
        "/bin/sh -c apt-get update && apt-get install -y --no-install-recommends ca-certificates curl netbase wget && rm -rf /var/lib/apt/lists/*",
        two,
      ),
      step("ENV NODE_VERSION=22.11.0"),
      step(
        'RUN /bin/sh -c ARCH= && dpkgArch="$(dpkg --print-architecture)" && curl -fsSLO https://nodejs.org/dist/v$NODE_VERSION # buildkit',
        three,
      ),
      step('ENTRYPOINT ["docker-entrypoint.sh"]'),
    ];
    return { layers: [one, two, three], history };
  };
  const platforms = (seed: string, all: readonly (readonly [string, string])[]) =>
    all.map(([os, arch]) => {
      const { layers, history } = steps(`${seed}/${arch}`);
      return platform(seed, os, arch, layers, history);
    });
  const signed = (subject: string): Fields => ({
    IsSigned: true,
    SignatureInfo: [{ Tool: "cosign", IsTrusted: false, Author: "release@example.com" }],
    Referrers: [
      {
        MediaType: "application/vnd.oci.image.manifest.v1+json",
        ArtifactType: "application/spdx+json",
        Digest: digestFor(`${subject}/sbom`),
        Size: 61_319,
        Annotations: [
          { Key: "org.opencontainers.image.created", Value: "2026-10-01T08:31:00Z" },
          { Key: "org.example.tool", Value: "syft 1.18.0" },
        ],
      },
      {
        MediaType: "application/vnd.oci.image.manifest.v1+json",
        ArtifactType: "application/vnd.dev.cosign.artifact.sig.v1+json",
        Digest: digestFor(`${subject}/sig`),
        Size: 1_102,
        Annotations: [],
      },
    ],
  });
  const images: WorldImage[] = [
    {
      repository: "library/node",
      tag: "22-bookworm",
      fields: {
        ...signed(node),
        Manifests: platforms(node, [
          ["linux", "amd64"],
          ["linux", "arm64/v8"],
          ["linux", "arm/v7"],
          ["linux", "ppc64le"],
          ["linux", "s390x"],
        ]),
        TaggedTimestamp: minutesAgo(3),
        DownloadCount: 18_204,
        LastPullTimestamp: minutesAgo(1),
        Title: "Node.js on Debian 12",
        Description: "A JavaScript runtime, with npm and yarn.",
        Vendor: "The Node.js project",
        Licenses: "MIT",
        Source: "https://github.com/nodejs/docker-node",
        Documentation: "https://hub.docker.com/_/node",
        Vulnerabilities: { MaxSeverity: "MEDIUM", Count: 12 },
      },
    },
    {
      repository: "library/node",
      tag: "20-alpine",
      fields: { TaggedTimestamp: minutesAgo(60 * 24 * 40), DownloadCount: 977 },
    },
    {
      repository: "library/alpine",
      tag: "3.20",
      fields: {
        Manifests: [platform("alpine", "linux", "amd64", [layer("alpine", 3_623_807)])],
        Title: "Alpine Linux",
        TaggedTimestamp: minutesAgo(60 * 24 * 9),
        DownloadCount: 4_410,
      },
    },
    {
      repository: "team-payments/ledger-service",
      tag: "2026.11.3-rc.1",
      fields: { ...signed("ledger"), TaggedTimestamp: minutesAgo(47), DownloadCount: 12 },
    },
    {
      repository: "team-payments/ledger-service",
      tag: "2026.11.2",
      fields: { ...signed("ledger2"), TaggedTimestamp: minutesAgo(60 * 30), DownloadCount: 310 },
    },
    {
      repository: "windows/servercore",
      tag: "ltsc2022",
      fields: {
        Manifests: [platform("wsc", "windows", "amd64", [layer("wsc", 2_254_857_830)])],
        TaggedTimestamp: minutesAgo(60 * 24 * 400),
      },
    },
    {
      repository: "charts/ingress",
      tag: "4.11.3",
      fields: {
        Manifests: [
          {
            ...platform("chart", "", "", [layer("chart", 58_102)]),
            ArtifactType: "application/vnd.cncf.helm.config.v1+json",
          },
        ],
        ArtifactType: "application/vnd.cncf.helm.config.v1+json",
        TaggedTimestamp: minutesAgo(60 * 5),
      },
    },
  ];
  for (let number = 0; number < 118; number++) {
    const name = `mirror/${["bitnami", "grafana", "quay", "k8s"][number % 4]}/component-${String(number).padStart(3, "0")}`;
    images.push({
      repository: name,
      tag: "latest",
      fields: { TaggedTimestamp: minutesAgo(60 * 24 * 50 + number * 300), DownloadCount: (number * 37) % 500 },
    });
  }
  return images;
}
