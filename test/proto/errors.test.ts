import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { status as Code, Metadata } from "@grpc/grpc-js";
import { fromStatus, OutriggerError, type Reason, type ReasonRow, reasons, toStatus } from "../../proto/errors.ts";
import { protoFolder } from "../../proto/load.ts";

const rows: [Reason, ReasonRow][] = Object.entries(reasons) as [Reason, ReasonRow][];

test("every reason crosses the wire with its metadata and delay", () => {
  for (const [reason] of rows) {
    const sent = new OutriggerError(reason, "why", { metadata: { persisted: "5" }, retryAfterMs: 1_500 });
    const { code, details, metadata } = toStatus(sent);
    const received = fromStatus(code, details, metadata);
    assert.equal(received?.reason, reason);
    assert.equal(received?.message, "why");
    assert.deepEqual(received?.metadata, { persisted: "5" });
    assert.equal(received?.retryAfterMs, 1_500);
  }
});

test("[call.error.01] a reason under another code, an unknown one, and unreadable details are protocol violations", () => {
  const { metadata } = toStatus(new OutriggerError("KEY_EXISTS", "why"));
  assert.equal(fromStatus(Code.ABORTED, "why", metadata)?.reason, "PROTOCOL_VIOLATION");

  const garbage = new Metadata();
  garbage.set("grpc-status-details-bin", Buffer.from([0xff, 0xff, 0xff]));
  assert.equal(fromStatus(Code.ABORTED, "why", garbage)?.reason, "PROTOCOL_VIOLATION");
});

test("without details the transport spoke", () => {
  assert.equal(fromStatus(Code.UNAVAILABLE, "connection reset", new Metadata()), undefined);
  assert.equal(fromStatus(Code.UNAVAILABLE, "connection reset", undefined), undefined);
});

test("[call.error.01] handshake.proto lists just the reasons a driver may give, under their codes", () => {
  const text = readFileSync(join(protoFolder, "outrigger/handshake/v1/handshake.proto"), "utf8");
  const listed = new Map<string, string>();
  const table = text.match(/\/\/ MUST \[call\.error\.01\][\s\S]*?\/\/ QUOTA/)?.[0] ?? "";
  let code = "";
  for (const line of table.split("\n").filter((each) => /^\/\/ {3}/.test(each))) {
    const named = line.match(/^\/\/ {3}([A-Z_]+): (.*)$/);
    if (named?.[1] !== undefined) code = named[1];
    const reasonsOfLine = named?.[2] ?? line.replace(/^\/\/ +/, "");
    for (const reason of reasonsOfLine.split(",").map((each) => each.trim()))
      if (reason !== "") listed.set(reason, code);
  }
  const owed = new Map(
    rows.filter(([, row]) => row.raisedBy !== "core").map(([reason, row]) => [reason, Code[row.code]]),
  );
  assert.deepEqual(Object.fromEntries([...listed].sort()), Object.fromEntries([...owed].sort()));
});
