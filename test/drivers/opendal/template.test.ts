/** What `outrigger new driver NAME --lang python` writes: it runs, and passes the kit before anything is filled in. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { runKit } from "../../helpers/kit.ts";
import { runOutrigger } from "../../helpers/outrigger.ts";
import { Scope } from "../../helpers/processes.ts";
import { tempFolder } from "../../helpers/temp.ts";
import { command, missing, tool } from "../../helpers/tools.ts";

// The opendal driver's environment holds what the template's requirements.txt pins, and more.
describe("the Python template", { skip: missing("opendal-python") }, () => {
  const scope = new Scope();
  let folder: string;
  before(async () => {
    folder = join(tempFolder(scope, "py"), "import");
    // A name that is a keyword of the language, too.
    await runOutrigger(["new", "driver", "import", "--lang", "python", "--dir", folder]);
  });
  after(scope.close);

  it("has the stubs that proto/ gives", async () => {
    await command(tool("opendal-python"), [join(folder, "generate.py"), "--check"]);
  });

  it("is installed by the versions that it is tested with", async () => {
    const pip = ["-m", "pip", "install", "--dry-run", "--no-index", "--disable-pip-version-check", "--quiet"];
    const { stdout } = await command(tool("opendal-python"), [...pip, "-r", join(folder, "requirements.txt")]);
    assert.equal(stdout.trim(), "", "something of requirements.txt is not in the tests' environment");
  });

  it("passes the kit at once", { timeout: 240_000 }, async () => {
    const result = await runKit(scope, {
      addresses: [],
      start: [`exec "${tool("opendal-python")}" -m import_driver`],
      flags: ["handshake", "process", "calls", "meta", "uploads"].flatMap((group) => ["--only", group]),
      env: { PYTHONPATH: folder },
    });
    assert.deepEqual(
      result.driver?.stores.map(({ kind }) => kind),
      ["blob", "meta"],
    );
  });
});
