/** compose.yaml and the Kubernetes example are well formed, and agree with each other and with the Dockerfile. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { repository } from "../helpers/tools.ts";

const read = (path: string) => readFileSync(join(repository, path), "utf8");
const dockerfile = read("Dockerfile");
const targets = [...dockerfile.matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, name]) => name);

interface Service {
  readonly image: string;
  readonly build: { readonly target: string };
  readonly user: string;
  readonly read_only: boolean;
  readonly volumes: readonly string[];
  readonly command?: readonly string[];
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly securityContext: {
    readonly runAsUser: number;
    readonly readOnlyRootFilesystem: boolean;
    readonly allowPrivilegeEscalation: boolean;
  };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly livenessProbe?: object;
  readonly readinessProbe?: object;
}

test("compose.yaml: two uids in one group, data read-only in the registry, targets that exist", () => {
  const compose: { services: Record<string, Service>; volumes: object } = parse(read("compose.yaml"));
  for (const [name, service] of Object.entries(compose.services)) {
    assert.ok(targets.includes(service.build.target), `${name}: the Dockerfile has no target ${service.build.target}`);
    assert.equal(service.read_only, true, name);
    for (const volume of service.volumes)
      assert.ok(Object.hasOwn(compose.volumes, volume.split(":")[0] ?? ""), `${name}: ${volume}`);
  }
  const { driver, registry } = compose.services;
  assert.ok(driver && registry);
  const [driverUser, driverGroup] = driver.user.split(":");
  const [registryUser, registryGroup] = registry.user.split(":");
  assert.notEqual(driverUser, registryUser);
  assert.equal(driverGroup, registryGroup);
  assert.ok(registry.volumes.includes("data:/data:ro"));
  assert.ok(driver.volumes.includes("data:/data"));
  const listen = /ENV OUTRIGGER_LISTEN=(\S+)/.exec(dockerfile)?.[1];
  assert.ok(registry.command?.includes(`--blobs=${listen}`), "the registry looks where the driver listens");
});

test("sidecar.yaml: fsGroup, probes, locked-down containers, mounts that exist", () => {
  const documents = parseAllDocuments(read("deploy/kubernetes/sidecar.yaml"));
  for (const document of documents) assert.deepEqual("errors" in document ? document.errors : [], []);
  const objects = documents.map((document) => document.toJS());
  assert.deepEqual(
    objects.map(({ kind }) => kind),
    ["PersistentVolumeClaim", "Deployment", "Service"],
  );
  const deployment = objects[1];
  const pod = deployment.spec.template.spec;
  assert.equal(pod.securityContext.fsGroup, 65532);
  assert.equal(pod.securityContext.runAsNonRoot, true);
  const volumes = new Set(pod.volumes.map(({ name }: { name: string }) => name));
  const containers: Container[] = [...pod.initContainers, ...pod.containers];
  for (const { name, securityContext, volumeMounts } of containers) {
    assert.equal(securityContext.readOnlyRootFilesystem, true, name);
    assert.equal(securityContext.allowPrivilegeEscalation, false, name);
    for (const mount of volumeMounts) assert.ok(volumes.has(mount.name), `${name}: no volume ${mount.name}`);
  }
  const driver = containers.find(({ name }) => name === "driver");
  const registry = containers.find(({ name }) => name === "registry");
  assert.ok(driver && registry);
  assert.equal(driver.restartPolicy, "Always");
  assert.notEqual(driver.securityContext.runAsUser, registry.securityContext.runAsUser);
  assert.ok(driver.livenessProbe && registry.livenessProbe && registry.readinessProbe);
  assert.equal(registry.volumeMounts.find(({ name }) => name === "data")?.readOnly, true);
  const { selector, template } = deployment.spec;
  assert.deepEqual(template.metadata.labels, selector.matchLabels);
  assert.deepEqual(objects[2].spec.selector, selector.matchLabels);
});

test("what compose and Kubernetes run are images of the Dockerfile", () => {
  const images = [
    ...`${read("compose.yaml")}${read("deploy/kubernetes/sidecar.yaml")}`.matchAll(/image: outrigger\/(\S+)/g),
  ];
  assert.ok(images.length >= 4);
  for (const [, name] of images) assert.ok(targets.includes(name), name);
});
