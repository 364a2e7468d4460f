/** protocol.md section 4: each row of the table. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CompatCode, type Decision, decideVersion } from "../../client/versions.ts";
import { hasReason } from "../../proto/errors.ts";
import type { ApiVersion } from "../../proto/versions.ts";

function versions(text: string): ApiVersion[] {
  return text.split(" ").map((one) => {
    const [major, minor] = one.split(".").map(Number) as [number, number];
    return { major, minor };
  });
}

function compat(text: string): CompatCode[] {
  return versions(text).map((version) => ({ api: "outrigger.blob", version, adapt: (transport) => transport }));
}

function decide(offered: string, listed: string | undefined, options: { compat?: string; needed?: boolean } = {}) {
  return decideVersion({
    api: "outrigger.blob",
    offered: versions(offered),
    listed: listed === undefined ? undefined : versions(listed),
    needed: options.needed ?? true,
    compat: options.compat ? compat(options.compat) : [],
    address: "unix:///d",
  });
}

function used(decision: Decision): string {
  const level = decision.log?.level ?? "silent";
  if (decision.use === undefined) return `off ${level}`;
  return `${decision.use.major}.${decision.use.minor}${decision.through ? " compat" : ""} ${level}`;
}

const refused = (wanted: RegExp) => (error: unknown) =>
  hasReason(error, "VERSION_UNSUPPORTED") && wanted.test(error.message);

describe("which version is used", () => {
  it("R 1.3, D 1.3: 1.3, silent", () => assert.equal(used(decide("1.3", "1.3")), "1.3 silent"));
  it("R 1.3, D 1.5: 1.3, info", () => assert.equal(used(decide("1.3", "1.5")), "1.3 info"));
  it("R 1.3, D 1.1 and 1.5 (each major once): a violation", () =>
    assert.throws(
      () => decide("1.3", "1.1 1.5"),
      (error) => hasReason(error, "PROTOCOL_VIOLATION"),
    ));
  it("R 1.3, D 1.1, no compat code: refused, naming what is wanted", () =>
    assert.throws(() => decide("1.3", "1.1"), refused(/release that speaks outrigger.blob 1.3/)));
  it("R 1.3, D 1.1, compat code: 1.1 through it, warning", () =>
    assert.equal(used(decide("1.3", "1.1", { compat: "1.1" })), "1.1 compat warn"));
  it("R 1.3, D 1.2, compat code for 1.1: a minor only adds, so 1.1 through it", () =>
    assert.equal(used(decide("1.3", "1.2", { compat: "1.1" })), "1.1 compat warn"));
  it("R 1.3, D 1.0, compat code for 1.1: refused", () =>
    assert.throws(() => decide("1.3", "1.0", { compat: "1.1" }), refused(/1\.3/)));
  it("R 1.3 and 2.0, D 1.3: 1.3, silent", () => assert.equal(used(decide("1.3 2.0", "1.3")), "1.3 silent"));
  it("R 1.3 and 2.2, D 1.3 and 2.1, no compat code: 1.3, info", () =>
    assert.equal(used(decide("1.3 2.2", "1.3 2.1")), "1.3 info"));
  it("R 1.3 and 2.2, D 1.3 and 2.1, compat code for 2.1: 2.1, warning", () =>
    assert.equal(used(decide("1.3 2.2", "1.3 2.1", { compat: "2.1" })), "2.1 compat warn"));
  it("R 1.3 and 2.0, D 1.3 and 2.4: the highest major", () =>
    assert.equal(used(decide("1.3 2.0", "1.3 2.4")), "2.0 info"));
  it("R 1.3, D 1.3 and 2.0: 1.3, info", () => assert.equal(used(decide("1.3", "1.3 2.0")), "1.3 info"));
  it("R 2.0, D 1.4, no compat code: refused", () => assert.throws(() => decide("2.0", "1.4"), refused(/2\.0/)));
  it("R 2.0, D 1.4, compat code: used, warning", () =>
    assert.equal(used(decide("2.0", "1.4", { compat: "1.4" })), "1.4 compat warn"));
  it("R 1.3, D 2.0 only, no compat code: refused", () => assert.throws(() => decide("1.3", "2.0"), refused(/1\.3/)));
  it("R 1.3, D 2.0 only, compat code: used, warning", () =>
    assert.equal(used(decide("1.3", "2.0", { compat: "2.0" })), "2.0 compat warn"));
  it("compat code of another API does not count", () => {
    const other = compat("1.1").map((code) => ({ ...code, api: "outrigger.meta" as const }));
    assert.throws(
      () =>
        decideVersion({
          api: "outrigger.blob",
          offered: versions("1.3"),
          listed: versions("1.1"),
          needed: true,
          compat: other,
          address: "x",
        }),
      refused(/1\.3/),
    );
  });
  it("API not listed, a store needs it: refused", () =>
    assert.throws(() => decide("1.3", undefined), refused(/does not speak outrigger.blob/)));
  it("API not listed, nothing needs it: off, info", () =>
    assert.equal(used(decide("1.3", undefined, { needed: false })), "off info"));
});
