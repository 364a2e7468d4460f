import assert from "node:assert/strict";
import { test } from "node:test";
import { hasReason } from "../../proto/errors.ts";
import {
  algorithmOf,
  assertAscii,
  assertDigest,
  assertKey,
  assertUploadId,
  isDigest,
  isKey,
} from "../../proto/keys.ts";

const refused = (reason: "INVALID_KEY" | "INVALID_FIELD") => (error: unknown) => hasReason(error, reason);

test("[blob.key.01] [meta.key.01] a key is components of [A-Za-z0-9._-]{1,255} joined by slashes, 1 to 1024 bytes", () => {
  for (const key of [
    "a",
    "a/b",
    "...",
    ".a",
    "a..b",
    "-",
    "_",
    "A/9/z.tar-x_y",
    "a".repeat(255),
    `${"a".repeat(255)}/b`,
  ]) {
    assert.ok(isKey(key), key);
  }
  const longest = Array.from({ length: 8 }, () => "a".repeat(127)).join("/");
  assert.ok(isKey(`${longest}a`) && `${longest}a`.length === 1024);
  for (const key of [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/.",
    "a b",
    "ä",
    "a\n",
    "a\0",
    "a\\b",
    "a".repeat(256),
    `${longest}ab`,
  ]) {
    assert.ok(!isKey(key), JSON.stringify(key));
    assert.throws(() => assertKey(key), refused("INVALID_KEY"));
  }
});

test("digests are lower-case sha256 and sha512 of the right length", () => {
  const hex = "0123456789abcdef".repeat(4);
  assert.ok(isDigest(`sha256:${hex}`));
  assert.ok(isDigest(`sha512:${hex}${hex}`));
  assert.equal(algorithmOf(`sha512:${hex}${hex}`), "sha512");
  for (const digest of [
    "",
    "sha256:",
    hex,
    `sha256:${hex}0`,
    `sha256:${hex.toUpperCase()}`,
    `sha512:${hex}`,
    `md5:${hex}`,
    `sha256:${hex}\n`,
  ]) {
    assert.throws(() => assertDigest(digest), refused("INVALID_FIELD"), digest);
  }
});

test("[blob.append.22] upload ids are [A-Za-z0-9-]{1,64}; listing bounds are ASCII of at most 2048 bytes", () => {
  assertUploadId("a".repeat(64));
  for (const id of ["", "a".repeat(65), "a/b", "..", "a_b"])
    assert.throws(() => assertUploadId(id), refused("INVALID_FIELD"));
  assertAscii("prefix", "~ \x7f/..");
  for (const text of ["ä", "a".repeat(2049)])
    assert.throws(() => assertAscii("prefix", text), refused("INVALID_FIELD"));
});
