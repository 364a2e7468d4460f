import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isKey } from "../../../proto/keys.ts";
import * as keys from "../../../registry/repository/keys.ts";
import {
  assertName,
  assertTag,
  escapeName,
  isName,
  isTag,
  listingBound,
  unescapeName,
} from "../../../registry/repository/names.ts";

const part = fc.stringMatching(/^[a-z0-9]{1,4}$/);
const joiner = fc.constantFrom(".", "_", "__", "-", "--", "---", "/");
const name = fc
  .tuple(part, fc.array(fc.tuple(joiner, part), { maxLength: 6 }))
  .map(([first, rest]) => first + rest.map(([between, next]) => between + next).join(""));
const digest = fc.constantFrom(`sha256:${"0a".repeat(32)}`, `sha512:${"f1".repeat(64)}`);
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/);

test("names: what OCI allows, and nothing else", () => {
  for (const good of ["a", "a/b/c", "a.b", "a_b", "a__b", "a-b", "a---b", "0", "library/app-1.0", "a".repeat(255)]) {
    assert.ok(isName(good), good);
    assertName(good);
  }
  for (const bad of [
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    "A",
    "a b",
    "a..b",
    "a___b",
    "a._b",
    "-a",
    "a-",
    "a.",
    "_a",
    "a/_b",
    "..",
    "a/../b",
    "ä",
    "a\n",
    "a:b",
    "a@b",
    "a%2fb",
    "a".repeat(256),
    `${"a/".repeat(100)}a`.repeat(2),
  ]) {
    assert.throws(() => assertName(bad), { code: "NAME_INVALID", status: 400 }, JSON.stringify(bad));
  }
});

test("a name whose escaped form passes one component is invalid", () => {
  const long = `a${"/a".repeat(84)}`;
  assert.equal(escapeName(long).length, 253);
  assert.ok(isName(long));
  assert.ok(isName(`${long}aa`));
  assert.ok(!isName(`${long}aaa`));
});

test("tags: what OCI allows, and nothing else", () => {
  for (const good of ["a", "_", "A.b-c_d", "1.0", "x".repeat(128)]) assertTag(good);
  for (const bad of ["", ".", "..", ".a", "-a", "a b", "a/b", "ä", "a\n", "x".repeat(129)]) {
    assert.throws(() => assertTag(bad), { code: "TAG_INVALID", status: 400 }, JSON.stringify(bad));
    assert.ok(!isTag(bad));
  }
});

test("escaping is one component, is undone, and keeps bytewise order", () => {
  fc.assert(
    fc.property(name, name, (left, right) => {
      const [one, two] = [escapeName(left), escapeName(right)];
      assert.ok(isKey(`x/${one}`) && !one.includes("/"));
      assert.equal(unescapeName(one), left);
      assert.equal(
        Math.sign(Buffer.compare(Buffer.from(one), Buffer.from(two))),
        Math.sign(Buffer.compare(Buffer.from(left), Buffer.from(right))),
      );
    }),
  );
  for (const odd of ["a-", "a-3", "a.b", "a/b"]) assert.equal(unescapeName(odd), undefined);
});

test("any text is a place in a listing of names", () => {
  fc.assert(
    fc.property(name, fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), name), (held, last) => {
      const above = Buffer.compare(Buffer.from(held), Buffer.from(last)) > 0;
      const bound = escapeName(listingBound(last));
      // Cut short only where no name can tell the difference.
      assert.equal(Buffer.compare(Buffer.from(escapeName(held)), Buffer.from(bound)) > 0, above);
    }),
    { numRuns: 2000 },
  );
});

test("every key is a key of the protocol, and says what it was made of", () => {
  fc.assert(
    fc.property(name, tag, digest, digest, (repository, label, subject, referrer) => {
      const links = [
        [keys.layerLink(repository, subject), { kind: "layer", name: repository, digest: subject }],
        [keys.revisionLink(repository, subject), { kind: "revision", name: repository, digest: subject }],
        [keys.tagLink(repository, label), { kind: "tag", name: repository, tag: label }],
        [
          keys.tagHistoryLink(repository, label, subject),
          { kind: "history", name: repository, tag: label, digest: subject },
        ],
      ] as const;
      for (const [key, link] of links) {
        assert.ok(isKey(key), key);
        assert.deepEqual(keys.parseLink(key), link);
      }
      assert.deepEqual(keys.parseTagKey(keys.tagKey(repository, label)), { name: repository, tag: label });
      assert.equal(keys.parseCatalogKey(keys.catalogKey(repository)), repository);
      assert.deepEqual(keys.parseRefsKey(keys.refsKey(subject, repository)), { digest: subject, name: repository });
      assert.deepEqual(keys.parseReferrersKey(keys.referrersKey(repository, subject, referrer)), {
        name: repository,
        subject,
        digest: referrer,
      });
      for (const key of [keys.blobKey(subject), keys.condemnedKey(subject), keys.cancelledKey("a-b")]) {
        assert.ok(isKey(key), key);
      }
    }),
  );
});

test("keys lie where distribution has its files", () => {
  const hex = "0a".repeat(32);
  const value = `sha256:${hex}`;
  const repository = "docker/registry/v2/repositories/a/b";
  assert.equal(keys.blobKey(value), `docker/registry/v2/blobs/sha256/0a/${hex}/data`);
  assert.equal(keys.layerLink("a/b", value), `${repository}/_layers/sha256/${hex}/link`);
  assert.equal(keys.revisionLink("a/b", value), `${repository}/_manifests/revisions/sha256/${hex}/link`);
  assert.equal(keys.tagLink("a/b", "v1"), `${repository}/_manifests/tags/v1/current/link`);
  assert.equal(keys.tagHistoryLink("a/b", "v1", value), `${repository}/_manifests/tags/v1/index/sha256/${hex}/link`);
});

test("the longest name, tag and digests still make keys", () => {
  const long = "a".repeat(255);
  const value = `sha512:${"a".repeat(128)}`;
  for (const key of [
    keys.tagHistoryLink(long, "t".repeat(128), value),
    keys.referrersKey(long, value, value),
    keys.refsKey(value, long),
    keys.tagKey(long, "t".repeat(128)),
  ]) {
    assert.ok(isKey(key), key);
  }
});
