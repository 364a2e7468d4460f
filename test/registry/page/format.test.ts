import assert from "node:assert/strict";
import { test } from "node:test";
import { counted, humanSize, relativeTime, shortDigest, size, time } from "../../../registry/page/format.ts";

test("sizes have three digits and binary units", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [10_240, "10 KiB"],
    [123_456, "121 KiB"],
    [1_048_063, "1023 KiB"],
    [1_048_064, "1 MiB"],
    [3_623_807, "3.46 MiB"],
    [2_254_857_830, "2.1 GiB"],
    [9_007_199_254_740_991, "8 PiB"],
  ];
  for (const [bytes, words] of cases) assert.equal(humanSize(bytes), words, String(bytes));
});

test("a size has its bytes as title, and one that is not known says so", () => {
  assert.equal(size(1536).text, '<data class="size" value="1536" title="1,536 bytes">1.5 KiB</data>');
  assert.match(size(undefined).text, /title="not known">–</);
});

test("times are relative, with the moment itself as title", () => {
  const now = Date.parse("2026-11-29T12:00:00Z");
  const cases: [string, string][] = [
    ["2026-11-29T11:59:30Z", "just now"],
    ["2026-11-29T12:00:59Z", "just now"],
    ["2026-11-29T11:59:00Z", "1 minute ago"],
    ["2026-11-29T10:00:01Z", "1 hour ago"],
    ["2026-11-28T12:00:00Z", "1 day ago"],
    ["2026-10-01T12:00:00Z", "1 month ago"],
    ["2024-01-01T00:00:00Z", "2 years ago"],
    ["2026-12-02T12:00:00Z", "in 3 days"],
  ];
  for (const [moment, words] of cases) assert.equal(relativeTime(Date.parse(moment), now), words, moment);
  assert.equal(
    time(Date.parse("2026-11-28T11:59:59.123Z"), now).text,
    '<time datetime="2026-11-28T11:59:59.123Z" title="2026-11-28 11:59:59 UTC">1 day ago</time>',
  );
  assert.match(time(undefined, now).text, /title="not known"/);
});

test("one is one and many are many", () => {
  assert.deepEqual(
    [0, 1, 1234].map((value) => counted(value, "tag")),
    ["0 tags", "1 tag", "1,234 tags"],
  );
});

test("a digest is cut, with the whole of it as title; a short one is not", () => {
  const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
  assert.equal(shortDigest(digest).text, `<code class="digest" title="${digest}">sha256:0123456789ab…</code>`);
  assert.equal(shortDigest("<x>").text, '<code class="digest" title="&lt;x&gt;">&lt;x&gt;</code>');
});
