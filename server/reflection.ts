/** gRPC server reflection, v1 and v1alpha: what grpcurl and the like ask a driver before its first call. */
import { createRequire } from "node:module";
import type {
  MethodDefinition,
  Server,
  ServerDuplexStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { packageDefinition } from "../proto/load.ts";

const METHOD = "ServerReflectionInfo";
const SERVICES = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"] as const;

type Stream = ServerDuplexStream<unknown, unknown>;

interface Answerer {
  readonly method: MethodDefinition<unknown, unknown>;
  readonly answer: (stream: Stream) => void;
}

/**
 * Made by the first who asks: what it is made from costs a fifth of a driver's start.
 *
 * @param services full names of what the server serves: nothing else is shown
 */
export function addReflection(server: Server, services: readonly string[]): void {
  let made: ReadonlyMap<string, Answerer> | undefined;
  const answerer = (path: string): Answerer => {
    made ??= makeAnswerers(services);
    const found = made.get(path);
    if (found === undefined) throw new Error(`@grpc/reflection does not serve ${path}`);
    return found;
  };
  for (const service of SERVICES) {
    const path = `/${service}/${METHOD}`;
    server.addService(
      {
        [METHOD]: {
          path,
          requestStream: true,
          responseStream: true,
          requestSerialize: (value: unknown) => answerer(path).method.requestSerialize(value),
          requestDeserialize: (bytes: Buffer) => answerer(path).method.requestDeserialize(bytes),
          responseSerialize: (value: unknown) => answerer(path).method.responseSerialize(value),
          responseDeserialize: (bytes: Buffer) => answerer(path).method.responseDeserialize(bytes),
        },
      },
      { [METHOD]: (stream: Stream) => answerer(path).answer(stream) },
    );
  }
}

/** By path: what the library would add to a server. */
function makeAnswerers(services: readonly string[]): ReadonlyMap<string, Answerer> {
  const { ReflectionService } = createRequire(import.meta.url)("@grpc/reflection") as typeof import("@grpc/reflection");
  const made = new Map<string, Answerer>();
  const addService = (definition: ServiceDefinition, implementation: UntypedServiceImplementation) => {
    for (const [name, method] of Object.entries(definition)) {
      made.set(method.path, { method, answer: implementation[name] as Answerer["answer"] });
    }
  };
  const reflection = new ReflectionService(packageDefinition({ keepCase: true }), { services: [...services] });
  reflection.addToServer({ addService } as unknown as Server);
  return made;
}
