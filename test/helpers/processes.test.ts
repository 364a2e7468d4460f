/** What a scope was given is gone after its test, also what came while it closed, or later. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { launch, Scope } from "./processes.ts";

const sleeper = () => launch("sleeper", process.execPath, ["-e", "setInterval(() => {}, 1000)"]);

describe("a scope", () => {
  it("closes in reverse order, and goes on after a failure", async () => {
    const scope = new Scope();
    const closed: string[] = [];
    scope.defer(() => closed.push("first"));
    scope.defer(() => {
      throw new Error("broken");
    });
    scope.defer(() => closed.push("last"));
    await assert.rejects(scope.close(), AggregateError);
    assert.deepEqual(closed, ["last", "first"]);
  });

  it("ends what was started while it closed", async () => {
    const scope = new Scope();
    let late = sleeper();
    scope.defer(async () => {
      await late.kill();
      late = scope.add(sleeper());
    });
    await scope.close();
    assert.equal(late.exit?.signal, "SIGKILL");
  });

  it("ends at once what was started when it had been closed", async (t) => {
    const scope = new Scope();
    await scope.close();
    const late = sleeper();
    t.after(() => late.kill());
    scope.add(late);
    assert.equal((await late.exited).signal, "SIGKILL");
  });
});
