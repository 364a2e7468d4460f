/** What `outrigger new driver NAME --lang python` writes. That it passes the kit at once, test/guides/python.test.ts shows. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
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
});
