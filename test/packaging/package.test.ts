/** What `npm publish` would send, installed elsewhere as users would. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { protoFiles, scannerProtoFile } from "../../proto/options.ts";
import { startDriver } from "../helpers/outrigger.ts";
import { launch, Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";
import { command, repository } from "../helpers/tools.ts";

const manifest = JSON.parse(readFileSync(join(repository, "package.json"), "utf8"));

describe("the package", () => {
  const scope = new Scope();
  let project = "";
  let installed = "";
  let files: string[] = [];
  const run = (program: string, args: readonly string[]) => command(program, args, { cwd: project });

  before(async () => {
    // Packed from a copy, so that no other test's dist/ is touched.
    const copy = tempFolder(scope, "pack");
    for (const name of ["package.json", "LICENSE", "README.md", "CHANGELOG.md", "proto"])
      cpSync(join(repository, name), join(copy, name), { recursive: true });
    await command(process.execPath, [join(repository, "scripts/build.mjs"), "--out", join(copy, "dist")], {
      timeoutMs: 180_000,
    });
    const { stdout } = await command("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", copy], {
      cwd: copy,
    });
    const [packed] = JSON.parse(stdout);
    files = packed.files.map(({ path }: { path: string }) => path);

    // `npm install` would ask the network; unpacking is what it does, and the dependencies are those of the lock file.
    project = tempFolder(scope, "project");
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", private: true, type: "module" }));
    installed = join(project, "node_modules/outrigger");
    mkdirSync(installed, { recursive: true });
    await command("tar", ["-xzf", join(copy, packed.filename), "-C", installed, "--strip-components=1"]);
    for (const name of Object.keys(manifest.dependencies)) {
      mkdirSync(join(project, "node_modules", name, ".."), { recursive: true });
      symlinkSync(join(repository, "node_modules", name), join(project, "node_modules", name));
    }
  });
  after(scope.close);

  it("holds what it needs and nothing else", () => {
    for (const name of ["dist/cli/main.js", "dist/client/index.d.ts", "LICENSE", "README.md"])
      assert.ok(files.includes(name), name);
    for (const name of [...protoFiles, scannerProtoFile]) {
      assert.ok(files.includes(`proto/${name}`), name);
      assert.ok(files.includes(`dist/proto/${name}`), `dist/proto/${name}`);
    }
    const strange = files.filter(
      (name) => !/^(?:dist|proto)\//.test(name) && !/^[A-Z]+(?:\.md)?$|^package\.json$/.test(name),
    );
    assert.deepEqual(strange, []);
    assert.deepEqual(
      files.filter((name) => /\.ts$/.test(name) && !/\.d\.ts$/.test(name)),
      [],
    );
    assert.deepEqual(
      files.filter((name) => /^dist\/(?:test|bench|scripts)\//.test(name)),
      [],
    );
  });

  it("its command runs", async () => {
    const { stdout } = await run(process.execPath, ["node_modules/outrigger/dist/cli/main.js", "version"]);
    assert.equal(stdout, `${manifest.version}\n`);
    const exported = await run(process.execPath, [
      "node_modules/outrigger/dist/cli/main.js",
      "proto",
      "export",
      "protos",
    ]);
    assert.match(exported.stdout, /^7 files/);
  });

  it("has the templates of new drivers, which take the package from npm", async () => {
    for (const lang of ["ts", "go", "python"])
      assert.ok(files.includes(`dist/cli/scaffold/templates/${lang}/template.json`), lang);
    assert.ok(files.includes("dist/cli/scaffold/templates/ts/.gitignore.tmpl"));
    const made = await run(process.execPath, [
      ...["node_modules/outrigger/dist/cli/main.js", "new", "driver", "my-store", "--lang", "ts"],
    ]);
    assert.match(made.stdout, /\n {2}cd my-store\n/);
    const { dependencies } = JSON.parse(readFileSync(join(project, "my-store/package.json"), "utf8"));
    assert.deepEqual(dependencies, { outrigger: `^${manifest.version}` });
  });

  it("its command is executable by its name", async () => {
    assert.equal(manifest.bin.outrigger, "dist/cli/main.js");
    const { stdout } = await run(join(installed, manifest.bin.outrigger), ["--version"]);
    assert.equal(stdout, `${manifest.version}\n`);
  });

  it("its three entries are imported by name, and nothing else is", async () => {
    writeFileSync(
      join(project, "entries.mjs"),
      `import { connect } from "outrigger/client";
       import { runDriver } from "outrigger/server";
       import { contract, reasons } from "outrigger/proto";
       console.log(typeof connect, typeof runDriver, Object.keys(contract()).join(), "WRONG_STORE" in reasons);
       await connect({ blobs: { address: "unix:///nowhere/d.sock" } }).close();
       await import("outrigger/dist/cli/main.js").catch((error) => console.log(error.code));`,
    );
    const { stdout } = await run(process.execPath, ["entries.mjs"]);
    assert.equal(stdout, "function function handshake,blob,meta,health true\nERR_PACKAGE_PATH_NOT_EXPORTED\n");
  });

  it("the client's guide runs as it stands", async () => {
    const page = readFileSync(join(repository, "docs/guides/use-the-client.md"), "utf8");
    const [, example = ""] = /^```js\n(.*?)^```$/ms.exec(page) ?? [];
    writeFileSync(join(project, "example.mjs"), example);
    const { address } = await startDriver(scope, { driver: "memory" });
    const { stdout } = await run(process.execPath, ["example.mjs", address]);
    assert.match(stdout, /^sha256:[0-9a-f]{64}\n3145728 of 4194304\nthere already\n$/);
  });

  it("its types are found by a strict project", async () => {
    writeFileSync(
      join(project, "typed.ts"),
      `import { connect, type Stores } from "outrigger/client";
       import type { DriverModule } from "outrigger/server";
       export const quiet: Stores = connect({ blobs: { address: "unix:///run/d.sock" } });
       export const stores = (parts: NonNullable<Parameters<typeof connect>[1]>): Stores =>
         connect({ blobs: { address: "unix:///run/d.sock" } }, parts);
       export const name = (module: DriverModule): string => module.name;
       // @ts-expect-error: an address is a string
       connect({ blobs: { address: 1 } }, {} as never);`,
    );
    const compiler = join(repository, "node_modules/typescript/bin/tsc");
    const how = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2023", "--skipLibCheck", "--types", ""];
    await run(process.execPath, [compiler, ...how, "typed.ts"]);
  });

  it("up runs from it: compiled, without tsx", async () => {
    const up = scope.add(
      launch("up", process.execPath, ["node_modules/outrigger/dist/cli/main.js", "up", "--listen", "127.0.0.1:0"], {
        cwd: project,
      }),
    );
    const greeting = await up.line((line) => line.startsWith("Outrigger is up at"));
    const [, address = ""] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(greeting) ?? [];
    assert.equal((await fetch(`${address}/v2/`)).status, 200);
    assert.deepEqual(await up.stop(), { code: 0, signal: null }, up.tail());
  });
});
