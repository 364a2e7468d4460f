/** One image: how to pull it, its platforms with their layers, what refers to it. */
import { count, counted, shortDigest, size, time, unknown } from "../format.ts";
import { type Html, html, type Piece } from "../html.ts";
import type { ImageDetails, Label, Layer, ManifestDetails, Referrer, Step } from "../image-details.ts";
import { repositoryPath } from "../routes.ts";
import type { PageContent } from "./layout.ts";
import { type Column, chip, copyable, notices, signedBadge, table } from "./parts.ts";
import { crumbs } from "./repository.ts";

/** @param host where clients reach this registry; absent: not known */
export function imagePage(
  image: ImageDetails,
  missing: readonly string[],
  host: string | undefined,
  nowMs: number,
): PageContent {
  const { name, tag, manifests } = image;
  const referrers = allReferrers(image);
  return {
    title: `${name}:${tag}`,
    section: "repositories",
    main: html`${crumbs([[name, repositoryPath(name)]])}
<div class="title"><h1>${name}<span class="colon">:</span><span class="tag">${tag}</span>${signedBadge(image.isSigned)}</h1></div>
${notices(missing)}
${pulls(image, host)}
<section aria-labelledby="about"><h2 id="about">About</h2>
${about(image, nowMs)}</section>
${
  manifests.length > 0 &&
  html`<section aria-labelledby="platforms"><h2 id="platforms">${manifests.length === 1 ? "Platform" : `Platforms (${count(manifests.length)})`}</h2>
${manifests.map((manifest) => platform(image, manifest, manifests.length === 1, nowMs))}</section>`
}
<section aria-labelledby="referrers"><h2 id="referrers">Referrers${referrers.length > 0 && ` (${count(referrers.length)})`}</h2>
${referrers.length === 0 ? html`<p class="quiet">Nothing refers to this image: no signature, no bill of materials.</p>` : referrerTable(name, referrers)}</section>`,
  };
}

/** Of configs: an artifact of such a type is an image, which goes without saying. */
const IMAGE_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);

/** Images are pulled by docker, everything else by oras. */
function pulls({ name, tag, digest, manifests }: ImageDetails, host: string | undefined): Html {
  const isImage = manifests.length === 0 || manifests.some((manifest) => manifest.platform !== undefined);
  const tool = isImage ? "docker pull" : "oras pull";
  const place = `${host === undefined ? "" : `${host}/`}${name}`;
  return html`<section class="pull" aria-labelledby="pull"><h2 id="pull">Pull</h2>
<p>${copyable(`${tool} ${place}:${tag}`, "the command that pulls this tag")}</p>
${digest !== undefined && html`<p>${copyable(`${tool} ${place}@${digest}`, "the command that pulls exactly this image")}</p>`}</section>`;
}

function about(image: ImageDetails, nowMs: number): Html {
  const { digest, signatures, vulnerabilities } = image;
  const fact = (heading: string, value: Piece, isLong = false) =>
    html`<div${isLong && html` class="whole"`}><dt>${heading}</dt><dd>${value}</dd></div>`;
  return html`<dl class="facts wide">
${fact("Digest", digest === undefined ? unknown() : copyable(digest, "the digest"), true)}
${fact("Media type", html`<code>${image.mediaType ?? "–"}</code>`)}
${image.artifactType !== undefined && !IMAGE_TYPES.has(image.artifactType) && fact("Artifact type", html`<code>${image.artifactType}</code>`)}
${fact("Size", size(image.sizeBytes))}
${fact("Created", time(image.createdMs, nowMs))}
${fact("Pushed", time(image.pushedMs, nowMs))}
${fact("Tagged", time(image.taggedMs, nowMs))}
${fact("Pulls", html`${count(image.downloads ?? 0)}${image.lastPullMs !== undefined && html`, last ${time(image.lastPullMs, nowMs)}`}`)}
${signatures.length > 0 && fact("Signed by", signatures.join(", "))}
${vulnerabilities !== undefined && fact("Vulnerabilities", `${count(vulnerabilities.count)}, worst: ${vulnerabilities.maxSeverity.toLowerCase()}`)}
${image.labels.map((label) => fact(label.heading, labelValue(label), label.value.length > 60))}
</dl>`;
}

/** A link only where it leads to the web: what stands in a label is anybody's. */
function labelValue({ value }: Label): Piece {
  if (!/^https?:\/\/[^\s]+$/i.test(value) || !URL.canParse(value)) return value;
  return html`<a href="${value}" rel="noopener noreferrer nofollow external">${value}</a>`;
}

function platform({ name, tag }: ImageDetails, manifest: ManifestDetails, isOnly: boolean, nowMs: number): Html {
  const { digest, configDigest, layers, steps } = manifest;
  const words = manifest.platform ?? manifest.artifactType ?? "unknown";
  return html`<details class="platform"${isOnly && html` open`}>
<summary>${chip(words)} ${size(manifest.sizeBytes)} · ${counted(layers.length, "layer")}${digest !== undefined && html` · ${shortDigest(digest)}`}${signedBadge(manifest.isSigned)}</summary>
<dl class="facts wide">
${digest !== undefined && html`<div class="whole"><dt>Digest</dt><dd>${copyable(digest, `the digest of ${words}`)}</dd></div>`}
${configDigest !== undefined && html`<div class="whole"><dt>Config</dt><dd><a href="${blobPath(name, configDigest)}" download="${fileName(name, tag)}">${configDigest}</a></dd></div>`}
<div><dt>Created</dt><dd>${time(manifest.createdMs, nowMs)}</dd></div>
</dl>
${configDigest !== undefined && html`<div class="config" data-config="${blobPath(name, configDigest)}"></div>`}
${steps.length > 0 ? stepTable(words, steps, layers) : layerTable(words, layers)}
</details>`;
}

function layerTable(platform: string, layers: readonly Layer[]): Piece {
  if (layers.length === 0) return undefined;
  const largest = largestOf(layers);
  const numbered = layers.map((layer, index) => ({ ...layer, number: index + 1 }));
  const columns: readonly Column<Layer & { readonly number: number }>[] = [
    { heading: "#", kind: "number", cell: (layer) => layer.number },
    { heading: "Layer", kind: "main", cell: ({ digest }) => (digest === undefined ? "–" : shortDigest(digest)) },
    { heading: "Size", kind: "number", cell: (layer) => barred(layer, largest) },
  ];
  return table(`Layers of ${platform}`, columns, numbered);
}

function stepTable(platform: string, steps: readonly Step[], layers: readonly Layer[]): Html {
  const largest = largestOf(layers);
  const columns: readonly Column<Step>[] = [
    { heading: "Made by", kind: "main", cell: (step) => html`<code class="command">${shownCommand(step)}</code>` },
    {
      heading: "Layer",
      cell: ({ layer }) =>
        layer?.digest === undefined ? html`<span class="unknown">no layer</span>` : shortDigest(layer.digest),
    },
    { heading: "Size", kind: "number", cell: ({ layer }) => layer !== undefined && barred(layer, largest) },
  ];
  return table(`Layers of ${platform}`, columns, steps);
}

/** Without what every builder writes around it. */
function shownCommand({ command, comment }: Step): string {
  const bare = command.replace(/^\/bin\/sh -c #\(nop\)\s*/, "").replace(/^\/bin\/sh -c /, "RUN ");
  return bare || comment || "–";
}

function largestOf(layers: readonly Layer[]): number {
  return Math.max(1, ...layers.map(({ sizeBytes }) => sizeBytes ?? 0));
}

/** The size, and how it is beside the largest; no style attribute, which the page's policy forbids. */
function barred({ sizeBytes }: Layer, largest: number): Html {
  const width = Math.round((100 * (sizeBytes ?? 0)) / largest);
  return html`${size(sizeBytes)}<svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true"><rect width="${width}" height="4"/></svg>`;
}

type FoundReferrer = Referrer & { readonly of: string | undefined };

/** Of the image and of its platforms, each once. */
function allReferrers({ referrers, manifests, digest }: ImageDetails): readonly FoundReferrer[] {
  const found = new Map<string, FoundReferrer>();
  const add = (all: readonly Referrer[], of: string | undefined) => {
    for (const each of all) {
      const key = each.digest ?? `${found.size}`;
      if (!found.has(key)) found.set(key, { ...each, of });
    }
  };
  add(referrers, undefined);
  for (const manifest of manifests) add(manifest.referrers, manifest.digest === digest ? undefined : manifest.platform);
  return [...found.values()];
}

function referrerTable(name: string, referrers: readonly FoundReferrer[]): Html {
  const columns: readonly Column<FoundReferrer>[] = [
    {
      heading: "Kind",
      kind: "main",
      cell: (each) =>
        html`<code>${each.artifactType ?? each.mediaType ?? "unknown"}</code>${each.of !== undefined && html` ${chip(each.of)}`}`,
    },
    {
      heading: "Digest",
      cell: ({ digest }) =>
        digest === undefined ? "–" : html`<a href="/v2/${name}/manifests/${digest}">${shortDigest(digest)}</a>`,
    },
    { heading: "Size", kind: "number", cell: (each) => size(each.sizeBytes) },
    { heading: "Annotations", cell: ({ annotations }) => annotationList(annotations) },
  ];
  return table("Referrers", columns, referrers);
}

function annotationList(annotations: readonly Label[]): Piece {
  if (annotations.length === 0) return html`<span class="unknown">none</span>`;
  return html`<dl class="annotations">${annotations.map((each) => html`<div><dt>${each.heading}</dt><dd>${each.value}</dd></div>`)}</dl>`;
}

function blobPath(name: string, digest: string): string {
  return `/v2/${name}/blobs/${encodeURIComponent(digest)}`;
}

/** Of a config that is downloaded. */
function fileName(name: string, tag: string): string {
  return `${name.replaceAll("/", "-")}-${tag}.config.json`;
}
