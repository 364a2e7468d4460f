import assert from "node:assert/strict";
import { test } from "node:test";
import { namesOf } from "../../server/tls.ts";

test("a client's names are its common and its alternative ones; a name within a name is none", () => {
  assert.deepEqual(namesOf({}), []);
  const all = "DNS:core.example, IP Address:127.0.0.1, URI:spiffe://core, email:core@example.com";
  assert.deepEqual(namesOf({ subject: { CN: "core" }, subjectaltname: all }), [
    "core",
    "core.example",
    "spiffe://core",
    "core@example.com",
  ]);
  const hidden = namesOf({ subjectaltname: 'DNS:"x, DNS:core.example, y", DNS:other.example' });
  assert.ok(!hidden.includes("core.example"), String(hidden));
  assert.ok(hidden.includes("other.example"));
});
