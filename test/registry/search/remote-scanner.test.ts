/** Scans from a real server: what is kept, what is asked for anew, and what a list is without a scanner that answers. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pino } from "pino";
import { connectScanner } from "../../../client/scanner.ts";
import { createRemoteScanner } from "../../../registry/search/remote-scanner.ts";
import type { Scanner } from "../../../registry/search/scanner.ts";
import { FixtureScanner } from "../../helpers/fixture-scanner.ts";
import { Scope } from "../../helpers/processes.ts";

const image = (text: string) => ({
  name: "team/app",
  digest: `sha256:${text.repeat(64)}`,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
});
const [a, b, c] = [image("a"), image("b"), image("c")];

describe("a scanner behind an address", () => {
  let scope: Scope;
  let fixture: FixtureScanner;
  let scanner: Scanner;
  const context = { requestId: "r", signal: new AbortController().signal };

  beforeEach(async () => {
    scope = new Scope();
    fixture = await FixtureScanner.start(scope);
    const client = connectScanner(fixture);
    scope.defer(() => client.close());
    scanner = createRemoteScanner(client, pino({ level: "silent" }));
  });
  afterEach(() => scope.close());

  it("is asked once for what it knows", async () => {
    fixture.known.set(a.digest, [{ id: "CVE-1", severity: "SEVERITY_LOW" }]);
    for (let turn = 0; turn < 3; turn += 1) {
      const scan = await scanner.scan(a, context);
      assert.deepEqual("cves" in scan && scan.cves.map(({ id, severity }) => [id, severity]), [["CVE-1", "LOW"]]);
    }
    assert.deepEqual([...(await scanner.known([a], context)).keys()], [a.digest]);
    assert.equal(fixture.calls["Scan"], 1);
  });

  it("is asked again for what it does not know yet", async () => {
    await assert.rejects(scanner.scan(a, context), /was not scanned yet: ask again/);
    fixture.known.set(a.digest, []);
    assert.deepEqual(await scanner.scan(a, context), { cves: [] });
  });

  it("says what cannot be scanned, and is asked again for what failed", async () => {
    fixture.scan = (_, honest) => ({ ...honest, state: "SCAN_STATE_FAILED", message: "the disk is full" });
    assert.deepEqual(await scanner.scan(a, context), { unscannable: "the disk is full" });
    fixture.scan = (_, honest) => ({ ...honest, state: "SCAN_STATE_UNSUPPORTED" });
    const refused = { unscannable: "this kind of image cannot be scanned" };
    assert.deepEqual(await scanner.scan(a, context), refused);
    fixture.scan = undefined;
    assert.deepEqual(await scanner.scan(a, context), refused);
  });

  it("scans nothing for a list, and a list is there without it", async () => {
    fixture.known.set(a.digest, [{ id: "CVE-1" }]);
    fixture.known.set(c.digest, []);
    assert.deepEqual([...(await scanner.known([a, b, c], context)).keys()].sort(), [a.digest, c.digest]);
    assert.deepEqual(fixture.asked, []);
    fixture.stop();
    assert.deepEqual([...(await scanner.known([a, b], context)).keys()], [a.digest]);
    await assert.rejects(scanner.scan(b, context), /scan.Scan at/);
  });

  it("tells which images have one", async () => {
    for (const { digest } of [a, b, c]) fixture.known.set(digest, [{ id: "CVE-1" }]);
    assert.deepEqual(await scanner.imagesWith("CVE-1", context), [a.digest, b.digest, c.digest]);
  });
});
