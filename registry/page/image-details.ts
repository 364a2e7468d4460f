/** One image whole: its platforms with layers and history, its referrers, and what its makers say of it. */
import { amount, answered, type Fields, fields, instant, list, platformOf, text } from "./answers.ts";
import type { BoundAsk } from "./contract.ts";

export interface ImageDetails {
  readonly name: string;
  readonly tag: string;
  readonly digest: string | undefined;
  readonly mediaType: string | undefined;
  readonly artifactType: string | undefined;
  readonly sizeBytes: number | undefined;
  readonly createdMs: number | undefined;
  readonly pushedMs: number | undefined;
  readonly taggedMs: number | undefined;
  readonly lastPullMs: number | undefined;
  readonly downloads: number | undefined;
  readonly isSigned: boolean;
  /** "cosign", "notation: Jane", … */
  readonly signatures: readonly string[];
  /** Labels and annotations that are not empty, in order of their heading. */
  readonly labels: readonly Label[];
  readonly manifests: readonly ManifestDetails[];
  readonly referrers: readonly Referrer[];
  /** Absent: nobody has looked. */
  readonly vulnerabilities: { readonly maxSeverity: string; readonly count: number } | undefined;
}

export interface Label {
  readonly heading: string;
  readonly value: string;
}

export interface ManifestDetails {
  readonly digest: string | undefined;
  readonly configDigest: string | undefined;
  readonly platform: string | undefined;
  readonly artifactType: string | undefined;
  readonly sizeBytes: number | undefined;
  readonly createdMs: number | undefined;
  readonly isSigned: boolean;
  readonly layers: readonly Layer[];
  readonly steps: readonly Step[];
  readonly referrers: readonly Referrer[];
}

export interface Layer {
  readonly digest: string | undefined;
  readonly sizeBytes: number | undefined;
}

/** A line of the config's history. */
export interface Step {
  readonly command: string;
  readonly comment: string | undefined;
  readonly createdMs: number | undefined;
  /** Absent: it made no layer. */
  readonly layer: Layer | undefined;
}

export interface Referrer {
  readonly artifactType: string | undefined;
  readonly mediaType: string | undefined;
  readonly digest: string | undefined;
  readonly sizeBytes: number | undefined;
  readonly annotations: readonly Label[];
}

const REFERRERS = "Referrers{MediaType ArtifactType Size Digest Annotations{Key Value}}";
const SIGNATURES = "IsSigned SignatureInfo{Tool Author}";
const LAYER = "Size Digest";
const MANIFEST = `Digest ConfigDigest LastUpdated Size IsSigned Platform{Os Arch} ArtifactType Layers{${LAYER}} History{Layer{${LAYER}} HistoryDescription{Created CreatedBy Comment EmptyLayer}} ${REFERRERS}`;
const IMAGE = `query Image($image:String!){Image(image:$image){Digest MediaType ArtifactType Size LastUpdated PushTimestamp TaggedTimestamp LastPullTimestamp DownloadCount ${SIGNATURES} Title Description Vendor Authors Licenses Source Documentation Labels Manifests{${MANIFEST}} ${REFERRERS} Vulnerabilities{MaxSeverity Count}}}`;

const LABELS = [
  ["Title", "Title"],
  ["Description", "Description"],
  ["Vendor", "Vendor"],
  ["Authors", "Authors"],
  ["Licenses", "Licenses"],
  ["Source", "Source"],
  ["Documentation", "Documentation"],
  ["Labels", "Labels"],
] as const;

/** @throws PageProblem 404 when there is no such image */
export async function readImageDetails(
  ask: BoundAsk,
  name: string,
  tag: string,
): Promise<{ readonly image: ImageDetails; readonly missing: readonly string[] }> {
  const { data, missing } = answered(await ask({ query: IMAGE, variables: { image: `${name}:${tag}` } }), {
    absent: `There is no image ${name}:${tag} here.`,
  });
  const value = fields(data["Image"]);
  const severity = fields(value["Vulnerabilities"]);
  const maxSeverity = text(severity["MaxSeverity"]);
  const image: ImageDetails = {
    name,
    tag,
    digest: text(value["Digest"]),
    mediaType: text(value["MediaType"]),
    artifactType: text(value["ArtifactType"]),
    sizeBytes: amount(value["Size"]),
    createdMs: instant(value["LastUpdated"]),
    pushedMs: instant(value["PushTimestamp"]),
    taggedMs: instant(value["TaggedTimestamp"]),
    lastPullMs: instant(value["LastPullTimestamp"]),
    downloads: amount(value["DownloadCount"]),
    isSigned: value["IsSigned"] === true,
    signatures: list(value["SignatureInfo"]).flatMap((signature) => {
      const words = [text(signature["Tool"]), text(signature["Author"])].filter((word) => word !== undefined);
      return words.length === 0 ? [] : [words.join(": ")];
    }),
    labels: LABELS.flatMap(([key, heading]) => {
      const label = text(value[key]);
      return label === undefined ? [] : [{ heading, value: label }];
    }),
    manifests: list(value["Manifests"]).map(readManifest),
    referrers: list(value["Referrers"]).map(readReferrer),
    vulnerabilities: maxSeverity === undefined ? undefined : { maxSeverity, count: amount(severity["Count"]) ?? 0 },
  };
  return { image, missing };
}

function readManifest(value: Fields): ManifestDetails {
  const layers = list(value["Layers"]).map(readLayer);
  return {
    digest: text(value["Digest"]),
    configDigest: text(value["ConfigDigest"]),
    platform: platformOf(fields(value["Platform"])),
    artifactType: text(value["ArtifactType"]),
    sizeBytes: amount(value["Size"]),
    createdMs: instant(value["LastUpdated"]),
    isSigned: value["IsSigned"] === true,
    layers,
    steps: readSteps(list(value["History"]), layers),
    referrers: list(value["Referrers"]).map(readReferrer),
  };
}

/**
 * History and layers, brought together by order: the n-th line that made a layer made the n-th one (OCI image-spec,
 * config, "history"). None at all when they do not fit: then the layers alone are the truth.
 */
function readSteps(history: readonly Fields[], layers: readonly Layer[]): readonly Step[] {
  let next = 0;
  const steps = history.map((value) => {
    const told = fields(value["HistoryDescription"]);
    const layer = told["EmptyLayer"] === true ? undefined : layers[next++];
    return {
      command: text(told["CreatedBy"]) ?? "",
      comment: text(told["Comment"]),
      createdMs: instant(told["Created"]),
      layer,
    };
  });
  return next === layers.length ? steps : [];
}

function readLayer(value: Fields): Layer {
  return { digest: text(value["Digest"]), sizeBytes: amount(value["Size"]) };
}

function readReferrer(value: Fields): Referrer {
  return {
    artifactType: text(value["ArtifactType"]),
    mediaType: text(value["MediaType"]),
    digest: text(value["Digest"]),
    sizeBytes: amount(value["Size"]),
    annotations: list(value["Annotations"]).map((annotation) => ({
      heading: text(annotation["Key"]) ?? "",
      value: text(annotation["Value"]) ?? "",
    })),
  };
}
