/** The scanner's client against a real server: pages, checks of every answer, and one that is away, slow or older. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { connectScanner, type ScannerClient } from "../../client/scanner.ts";
import { hasReason, type Reason } from "../../proto/errors.ts";
import { FixtureScanner } from "../helpers/fixture-scanner.ts";
import { Scope } from "../helpers/processes.ts";
import { FakeClock } from "./fakes.ts";

const image = (text: string) => ({
  repository: "team/app",
  digest: `sha256:${text.repeat(64)}`,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
});
const [a, b, c] = [image("a"), image("b"), image("c")];

const rejected =
  (reason: Reason, text = /./) =>
  (error: unknown) =>
    hasReason(error, reason) && text.test(error.message);

describe("a scanner", () => {
  let scope: Scope;
  let scanner: FixtureScanner;
  let client: ScannerClient;
  /** Of the client's rest: its calls are timed by gRPC itself. */
  let clock: RestClock;

  class RestClock extends FakeClock {
    override now(): number {
      return Date.now();
    }
  }

  beforeEach(async () => {
    scope = new Scope();
    clock = new RestClock();
    scanner = await FixtureScanner.start(scope);
    client = connectScanner(scanner, { clock });
    scope.defer(() => client.close());
  });
  afterEach(() => scope.close());

  it("tells what is known of an image, over all its pages", async () => {
    scanner.known.set(
      a.digest,
      ["CVE-2", "CVE-1", "CVE-5", "CVE-4", "CVE-3"].map((id) => ({
        id,
        severity: "SEVERITY_HIGH" as const,
        title: `title of ${id}`,
        packages: [{ name: "openssl", installedVersion: "1", fixedVersion: "2" }],
      })),
    );
    const outcome = await client.scan(a);
    assert.equal(outcome.state, "scanned");
    if (outcome.state !== "scanned") return;
    assert.deepEqual(
      outcome.vulnerabilities.map(({ id }) => id),
      ["CVE-1", "CVE-2", "CVE-3", "CVE-4", "CVE-5"],
    );
    assert.deepEqual(outcome.vulnerabilities[0], {
      id: "CVE-1",
      severity: "HIGH",
      title: "title of CVE-1",
      description: "",
      reference: "",
      packages: [{ name: "openssl", path: "", installedVersion: "1", fixedVersion: "2" }],
    });
    assert.equal(scanner.calls["Scan"], 3);
    assert.equal(scanner.calls["Version"], 1);
  });

  it("says what is not known yet, and what cannot be", async () => {
    assert.deepEqual(await client.scan(b), { state: "pending", message: "" });
    scanner.scan = (_, honest) => ({ ...honest, state: "SCAN_STATE_UNSUPPORTED", message: "no windows" });
    assert.deepEqual(await client.scan(b), { state: "unsupported", message: "no windows" });
  });

  it("tells which images have one, over all its pages", async () => {
    for (const { digest } of [c, b, a]) scanner.known.set(digest, [{ id: "CVE-1" }]);
    scanner.known.set(c.digest, [{ id: "CVE-1" }, { id: "CVE-2" }]);
    assert.deepEqual(await client.affected("CVE-1"), [a.digest, b.digest, c.digest]);
    assert.equal(scanner.calls["Affected"], 2);
    assert.deepEqual(await client.affected("CVE-2"), [c.digest]);
    assert.deepEqual(await client.affected("CVE-3"), []);
  });

  it("is told when nobody waits for a scan", async () => {
    await client.scan(a, { knownOnly: true });
    assert.deepEqual(scanner.asked, []);
    await client.scan(b);
    assert.deepEqual(scanner.asked, [b.digest]);
  });

  const lies: [string, RegExp, () => void][] = [
    ["another image", /asked for sha256:aaa/, () => (scanner.scan = (_, honest) => ({ ...honest, digest: b.digest }))],
    [
      "a state that is none",
      /is not one/,
      () => (scanner.scan = (_, honest) => ({ ...honest, state: "SCAN_STATE_UNSPECIFIED" })),
    ],
    [
      "pages out of order",
      /"CVE-1" follows "CVE-2"/,
      () => (scanner.scan = (_, honest) => ({ ...honest, vulnerabilities: [{ id: "CVE-2" }, { id: "CVE-1" }] })),
    ],
    [
      "the same page without end",
      /follows/,
      () => (scanner.scan = (_, honest) => ({ ...honest, vulnerabilities: [{ id: "CVE-1" }], more: true })),
    ],
    ["one without an id", /follows/, () => (scanner.scan = (_, honest) => ({ ...honest, vulnerabilities: [{}] }))],
    [
      "an empty page with more",
      /empty page/,
      () => (scanner.scan = (_, honest) => ({ ...honest, vulnerabilities: [], more: true })),
    ],
  ];
  for (const [what, text, lie] of lies) {
    it(`is not believed: ${what}`, async () => {
      scanner.known.set(a.digest, [{ id: "CVE-1" }]);
      lie();
      await assert.rejects(client.scan(a), rejected("PROTOCOL_VIOLATION", text));
    });
  }

  const affectedLies: [string, RegExp, object][] = [
    ["no digest", /"x" is no digest/, { digests: ["x"] }],
    ["digests out of order", /follows/, { digests: [b.digest, a.digest] }],
    ["the same digests without end", /follows/, { digests: [a.digest], more: true }],
    ["no digests and more", /empty page/, { more: true }],
  ];
  for (const [what, text, answer] of affectedLies) {
    it(`is not believed: ${what}`, async () => {
      scanner.affected = () => answer;
      await assert.rejects(client.affected("CVE-1"), rejected("PROTOCOL_VIOLATION", text));
    });
  }

  it("of another major is refused", async () => {
    scanner.versions = [{ major: 2, minor: 0 }];
    await assert.rejects(client.scan(a), rejected("VERSION_UNSUPPORTED", /outrigger.scan 2.0/));
  });

  it("whose clock was wrong is asked again once it is right", async () => {
    scanner.known.set(a.digest, []);
    scanner.skewMs = 10_000;
    await assert.rejects(client.scan(a), rejected("CLOCK_SKEW"));
    scanner.skewMs = 0;
    assert.deepEqual(await client.scan(a), { state: "scanned", vulnerabilities: [] });
  });

  it("that is away fails at once after the first question, until a moment has passed", async () => {
    scanner.stop();
    await assert.rejects(client.scan(a), rejected("UNREACHABLE"));
    const again = await FixtureScanner.start(scope, Number(scanner.address.split(":")[1]));
    again.known.set(a.digest, []);
    await assert.rejects(client.scan(a), rejected("UNREACHABLE"));
    assert.equal(again.calls["Scan"], undefined);
    await clock.advance(2_000);
    // The connection needs its own moment.
    for (let tries = 0; ; tries += 1) {
      const outcome = await client.scan(a).catch((error: unknown) => error);
      if (outcome instanceof Error && tries < 100) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        await clock.advance(2_000);
        continue;
      }
      assert.deepEqual(outcome, { state: "scanned", vulnerabilities: [] });
      break;
    }
  });

  it("that never answers is given up when the asker is", async () => {
    scanner.scan = () => "never";
    const asker = new AbortController();
    const asked = client.scan(a, { signal: asker.signal });
    asker.abort(new Error("the client left"));
    await assert.rejects(asked, /the client left/);
  });

  it("is asked anew what it speaks when its contract is another", async () => {
    scanner.known.set(a.digest, []);
    await client.scan(a);
    scanner.contract = "c2";
    await client.scan(a);
    await client.scan(a);
    assert.equal(scanner.calls["Version"], 2);
  });
});
