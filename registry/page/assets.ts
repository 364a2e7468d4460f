/** The page's few files, read once; their addresses change with their bytes, so that browsers may keep them for ever. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { assetPath } from "./routes.ts";

export interface Asset {
  readonly bytes: Buffer;
  readonly type: string;
  /** Of the bytes; without quotes. */
  readonly etag: string;
}

const TYPES = {
  "style.css": "text/css; charset=utf-8",
  "page.js": "text/javascript; charset=utf-8",
  "icon.svg": "image/svg+xml",
} as const;

export type AssetName = keyof typeof TYPES;

export interface Assets {
  /** @returns undefined when there is no such file */
  get(name: string): Asset | undefined;
  /** Path and query. */
  address(name: AssetName): string;
}

/** @throws Error when the package is not whole */
export function loadAssets(): Assets {
  const all = new Map<string, Asset>();
  for (const [name, type] of Object.entries(TYPES)) {
    // scripts/build.mjs copies the folder beside the compiled file.
    const bytes = readFileSync(new URL(`./assets/${name}`, import.meta.url));
    all.set(name, { bytes, type, etag: etagOf(bytes) });
  }
  return {
    get: (name) => all.get(name),
    address: (name) => assetPath(name, all.get(name)?.etag ?? ""),
  };
}

export function etagOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64url").slice(0, 22);
}
