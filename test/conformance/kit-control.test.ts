/** Starting and killing: the kit believes no command. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { listens, StartedDriver } from "../../conformance/control.ts";
import { KitError } from "../../conformance/faults.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";

/** Listens, and ends with 3 at SIGTERM; with `--once` it ends at once; with `--say` it tells its environment. */
const PROGRAM = `
const { createServer } = require("node:net");
if (process.argv.includes("--once")) { console.error("once"); process.exit(7); }
if (process.argv.includes("--say")) { console.log(process.env.OUTRIGGER_LISTEN, process.env.EXTRA); process.exit(0); }
process.on("SIGTERM", () => process.exit(3));
const at = process.argv.indexOf("--listen");
const address = at < 0 ? process.env.OUTRIGGER_LISTEN : process.argv[at + 1];
const path = address.slice("unix://".length);
try { require("node:fs").unlinkSync(path); } catch {}
createServer((socket) => socket.destroy()).listen(path);
`;

function inFolder(t: TestContext) {
  const scope = new Scope();
  t.after(scope.close);
  const folder = tempFolder(scope);
  const address = `unix://${join(folder, "d.sock")}`;
  const control = (more: { kill?: string; start?: string } = {}) => {
    const driver = new StartedDriver({
      address,
      // Quotes and a dollar sign: not a simple command.
      start: more.start ?? `exec ${process.execPath} -e '${PROGRAM}' --`,
      answers: () => listens(address),
      startMs: 5_000,
      deathMs: 1_000,
      ...(more.kill === undefined ? {} : { kill: more.kill }),
    });
    scope.defer(() => driver.close());
    return driver;
  };
  return { address, control, folder };
}

describe("a driver that the kit starts", () => {
  it("answers after start, is gone after kill, and comes again", async (t) => {
    const { address, control } = inFolder(t);
    const driver = control();
    await driver.start();
    assert.ok(driver.running && driver.asGiven);
    assert.ok(await listens(address));
    await driver.kill();
    assert.ok(!driver.running);
    assert.ok(!(await listens(address)));
    await driver.start(["--flag"]);
    assert.ok(driver.running && !driver.asGiven);
    await driver.kill();
  });

  it("that a kill command does not kill is an error", { timeout: 60_000 }, async (t) => {
    const driver = inFolder(t).control({ kill: "true" });
    await driver.start();
    await assert.rejects(driver.kill(), (error) => {
      assert.ok(error instanceof KitError);
      assert.match(error.message, /still answers after the kill/);
      return true;
    });
  });

  it("is killed by a kill command that does, by its PID", async (t) => {
    const driver = inFolder(t).control({ kill: "kill -9 $PID" });
    await driver.start();
    await driver.kill();
    assert.ok(!driver.running);
    const broken = inFolder(t).control({ kill: "echo no such container >&2; exit 4" });
    await broken.start();
    await assert.rejects(broken.kill(), /--kill ended with 4: no such container/);
  });

  it("that ends before it answers is told with its last words", async (t) => {
    const driver = inFolder(t).control();
    await assert.rejects(driver.start(["--once"]), /ended \(exit 7\) before it answered; it said: once/);
    const missing = inFolder(t).control({ start: "/no/such/driver" });
    await assert.rejects(missing.start(), /ended \(exit 127\)/);
  });

  it("where another one answers already is an error", async (t) => {
    const { control } = inFolder(t);
    await control().start();
    await assert.rejects(control().start(), /something else answers/);
  });

  it("tells how it ended at SIGTERM, and what it said", async (t) => {
    const { address, control } = inFolder(t);
    const driver = control();
    await driver.start();
    const end = await driver.stop(5_000);
    assert.deepEqual([end?.code, end?.signal], [3, null]);
    const ran = await driver.run(["--say"], { environment: { EXTRA: "extra" } });
    assert.equal(ran.code, 0);
    assert.equal(ran.said.trim(), `${address} extra`);
    await assert.rejects(driver.run([], { withinMs: 500 }), /did not end within 500 ms/);
  });

  it("listens elsewhere by its environment, or by the flag alone", async (t) => {
    const { control, folder } = inFolder(t);
    for (const flagged of [false, true]) {
      const address = `unix://${join(folder, `${flagged}.sock`)}`;
      const other = control().elsewhere(address);
      await other.start(flagged ? ["--listen", address] : []);
      assert.ok(await listens(address));
      await other.kill();
    }
  });
});
