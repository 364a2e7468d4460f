/** Reflection (protocol.md section 2): a client that has no .proto file finds the services and their messages. */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import {
  type Client,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { cleanly, hosted } from "./grpc-kit.ts";

interface Answer {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly errorResponse?: { readonly errorCode: number };
}

function reflectionClient(
  version: string,
  address: string,
): Client & Record<string, () => AsyncIterable<Answer> & { write(ask: object): void; end(): void }> {
  const folder = join(dirname(createRequire(import.meta.url).resolve("@grpc/reflection/package.json")), "build/proto");
  const loaded = loadPackageDefinition(
    loadSync(`grpc/reflection/${version}/reflection.proto`, { includeDirs: [folder], oneofs: true }),
  ) as unknown as { grpc: { reflection: Record<string, GrpcObject> } };
  const Reflection = loaded.grpc.reflection[version]?.["ServerReflection"] as ServiceClientConstructor;
  return new Reflection(address, credentials.createInsecure()) as never;
}

for (const version of ["v1", "v1alpha"]) {
  test(
    `${version}: what the driver serves, and nothing else, with every message of it`,
    cleanly(async (cleanup) => {
      const { host } = await hosted(cleanup);
      const client = reflectionClient(version, host.address);
      cleanup.add(() => client.close());
      const call = client["serverReflectionInfo"]?.();
      assert.ok(call);
      call.write({ listServices: "" });
      call.write({ fileContainingSymbol: "outrigger.blob.v1.BlobService" });
      call.write({ fileContainingSymbol: "outrigger.nothing.v1.NoService" });
      call.end();
      const answers: Answer[] = [];
      for await (const answer of call) answers.push(answer);
      const [listed, file, unknown] = answers;
      const names = listed?.listServicesResponse?.service.map(({ name }) => name) ?? [];
      assert.deepEqual(names.filter((name) => !name.startsWith("grpc.reflection.")).sort(), [
        "grpc.health.v1.Health",
        "outrigger.blob.v1.BlobService",
        "outrigger.handshake.v1.HandshakeService",
        "outrigger.meta.v1.MetaService",
      ]);
      const [descriptor] = file?.fileDescriptorResponse?.fileDescriptorProto ?? [];
      for (const name of ["AppendRequest", "ListUploads", "if_absent"]) assert.ok(descriptor?.includes(name), name);
      assert.equal(unknown?.errorResponse?.errorCode, 5);
    }),
  );
}
