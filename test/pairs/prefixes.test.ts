/** Repositories below a prefix in stores of their own: one registry to its clients, and one store's fault is not the other's. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { image } from "../helpers/oci.ts";
import {
  type ConfiguredRegistry,
  type ConfiguredStores,
  type DriverProcess,
  initialiseRoot,
  launchConfigured,
  ready,
  startDriver,
  until,
} from "../helpers/outrigger.ts";
import { Scope } from "../helpers/processes.ts";
import { tempFolder } from "../helpers/temp.ts";

describe("stores.prefixes", () => {
  const scope = new Scope();
  after(scope.close);
  let registry: ConfiguredRegistry;
  const roots = { main: "", team: "" };
  const drivers = {} as Record<keyof typeof roots, DriverProcess>;

  const stores = (team: object = {}): ConfiguredStores => ({
    blobs: { address: drivers.main.address },
    prefixes: [{ prefix: "team-a/", blobs: { address: drivers.team.address, ...team } }] as never,
  });

  before(async () => {
    for (const name of ["main", "team"] as const) {
      roots[name] = tempFolder(scope, name);
      await initialiseRoot(roots[name]);
      drivers[name] = await startDriver(scope, { root: roots[name] });
    }
    registry = await launchConfigured(scope, stores());
    await ready(registry);
    await teamIs(true);
  });

  const readyz = async () => {
    const { status, body } = await registry.client.request("GET", "/readyz");
    return { status, ...(JSON.parse(body.toString()) as { stores: { prefix?: string; ready: boolean }[] }) };
  };
  const teamIs = (wanted: boolean) =>
    until(
      async () =>
        (await readyz()).stores.filter(({ prefix }) => prefix === "team-a").every((one) => one.ready === wanted),
      30_000,
      () => `the stores of team-a do not become ${wanted ? "ready" : "unready"}: ${registry.process.tail()}`,
    );

  it("keeps each repository in its own stores, lists them together, and uploads what cannot be mounted", async () => {
    const { client } = registry;
    const [one, other] = ["one", "other"].map((seed) => image({ seed, layerBytes: [300_000] }));
    assert.ok(one && other);
    await client.pushImage("team-a/app", one, "v1");
    await client.pushImage("app", other, "v1");
    await client.pullImage("team-a/app", "v1", one);
    await client.pullImage("app", "v1", other);
    const links = (root: string, name: string) => existsSync(join(root, "docker/registry/v2/repositories", name));
    assert.deepEqual(
      [
        links(roots.team, "team-a/app"),
        links(roots.main, "app"),
        links(roots.main, "team-a"),
        links(roots.team, "app"),
      ],
      [true, true, false, false],
    );
    assert.deepEqual(await client.catalog(), ["app", "team-a/app"]);
    const first = await client.expect(200, "GET", "/v2/_catalog?n=1");
    assert.deepEqual(JSON.parse(first.body.toString()).repositories, ["app"]);
    assert.match(String(first.headers["link"]), /last=app/);
    const [layer] = one.blobs;
    const mount = (name: string, from: string) =>
      client.request("POST", `/v2/${name}/blobs/uploads/?mount=${layer?.digest}&from=${from}`);
    assert.equal((await mount("app", "team-a/app")).status, 202);
    assert.equal((await mount("team-a/b", "team-a/app")).status, 201);
    // The answer is an upload like any other.
    await client.pushImage("app", one, "v2");
    await client.pullImage("app", "v2", one);
  });

  it("one store away: its repositories answer 503, the others and /readyz do not notice", async () => {
    const { client } = registry;
    await drivers.team.process.kill();
    await teamIs(false);
    assert.equal((await readyz()).status, 200);
    const pushed = image({ seed: "meanwhile", layerBytes: [1000] });
    await client.pushImage("app", pushed, "meanwhile");
    assert.equal((await client.request("GET", "/v2/team-a/app/manifests/v1")).status, 503);
    assert.equal((await client.request("GET", "/v2/_catalog")).status, 503);
    const { body } = await client.request("GET", "/metrics");
    assert.match(body.toString(), /outrigger_store_ready\{kind="blob",role="main",prefix="team-a"\} 0/);
    assert.match(body.toString(), /outrigger_store_ready\{kind="blob",role="main",prefix=""\} 1/);
    drivers.team = await startDriver(scope, { root: roots.team, address: drivers.team.address });
    await teamIs(true);
    assert.equal((await client.request("GET", "/v2/team-a/app/manifests/v1")).status, 200);
  });

  it("a pair's stores change with a reload; another store behind the prefix is refused", async () => {
    const root = tempFolder(scope, "other");
    await initialiseRoot(root);
    const other = await startDriver(scope, { root });
    assert.match(await registry.reloadRefused(stores({ address: other.address })), /acceptStoreId/);
    assert.equal((await registry.client.request("GET", "/v2/team-a/app/manifests/v1")).status, 200);
    // The same driver, said in another way.
    await registry.reload(stores({ requiredCapabilities: ["DURABLE"] }));
    assert.equal((await registry.client.request("GET", "/v2/team-a/app/manifests/v1")).status, 200);
    await registry.reload({ blobs: { address: drivers.main.address } });
    await registry.process.line((line) => /need a restart/.test(line) && /stores\.prefixes/.test(line), 10_000, 0);
    assert.equal((await registry.client.request("GET", "/v2/team-a/app/manifests/v1")).status, 200);
  });
});
