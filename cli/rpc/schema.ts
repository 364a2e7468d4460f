/** Services and messages with their fields, as the .proto files tell them: what commands that call by hand go by. */
import { join } from "node:path";
import protobuf from "protobufjs";
import { protoFolder } from "../../proto/load.ts";
import { scannerProtoFile } from "../../proto/options.ts";
import { UsageFailure } from "../failure.ts";
import { nearest } from "./nearest.ts";

export type StoreKind = "blob" | "meta";

export interface Method {
  /** "BlobService.Stat" */
  readonly name: string;
  /** "/outrigger.blob.v1.BlobService/Stat" */
  readonly path: string;
  /** Whose id `outrigger-store` carries; `undefined`: the call takes none. */
  readonly store: StoreKind | undefined;
  /** Whether it can change what is stored, and so carries `outrigger-not-after`. */
  readonly changes: boolean;
  readonly request: protobuf.Type;
  readonly response: protobuf.Type;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  /** The comment of the .proto file. */
  readonly comment: string;
}

const files = [
  "outrigger/handshake/v1/handshake.proto",
  "outrigger/blob/v1/blob.proto",
  "outrigger/meta/v1/meta.proto",
  scannerProtoFile,
  "grpc/health/v1/health.proto",
];

const services = [
  { path: "outrigger.handshake.v1.HandshakeService", store: undefined, changing: [] },
  {
    path: "outrigger.blob.v1.BlobService",
    store: "blob",
    changing: ["Put", "Append", "AbortUpload", "Move", "Delete"],
  },
  { path: "outrigger.meta.v1.MetaService", store: "meta", changing: ["Write"] },
  { path: "outrigger.scan.v1.ScanService", store: undefined, changing: [] },
  { path: "grpc.health.v1.Health", store: undefined, changing: [] },
] as const;

let known: readonly Method[] | undefined;

/** Every method, in the order of the files. Reads them once. */
export function methods(): readonly Method[] {
  known ??= load();
  return known;
}

function load(): Method[] {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(protoFolder, target);
  root.loadSync(files, { keepCase: false, alternateCommentMode: true, preferTrailingComment: false });
  root.resolveAll();
  return services.flatMap(({ path, store, changing }) =>
    root.lookupService(path).methodsArray.map((method) => {
      const { resolvedRequestType: request, resolvedResponseType: response } = method;
      if (request === null || response === null) throw new Error(`${path}/${method.name} is not resolved`);
      return {
        name: `${path.slice(path.lastIndexOf(".") + 1)}.${method.name}`,
        path: `/${path}/${method.name}`,
        store,
        changes: (changing as readonly string[]).includes(method.name),
        request,
        response,
        requestStream: method.requestStream === true,
        responseStream: method.responseStream === true,
        comment: method.comment ?? "",
      };
    }),
  );
}

/** Short names of the services, as in "blob.Stat". */
function aliases({ name, path }: Method): string[] {
  const [service = "", method = ""] = name.split(".");
  const short = service.replace(/Service$/, "");
  return [name, path, path.slice(1), path.slice(1).replace("/", "."), `${short}.${method}`, method];
}

/**
 * "BlobService.Stat", "blob.Stat", "/outrigger.blob.v1.BlobService/Stat", or "Stat" where only one API has it.
 * @throws UsageFailure with the nearest names, or those that it could be
 */
export function findMethod(text: string): Method {
  const wanted = text.toLowerCase();
  let found = methods().filter((method) => aliases(method).some((alias) => alias.toLowerCase() === wanted));
  // Health has a List of its own, which nobody means.
  if (found.length > 1) found = found.filter(({ path }) => !path.startsWith("/grpc."));
  const [only, another] = found;
  if (only !== undefined && another === undefined) return only;
  const names = methods().map(({ name }) => name);
  if (only !== undefined)
    throw new UsageFailure(`${text} is of several services: ${found.map(({ name }) => name).join(" or ")}`);
  const near = nearest(
    text,
    methods().flatMap((method) => aliases(method).map((alias) => ({ alias, means: method.name }))),
  );
  throw new UsageFailure(
    `there is no method ${text}: ${near.length > 0 ? `did you mean ${near.join(" or ")}?` : `there are ${names.join(", ")}`}`,
  );
}

/** "Stat" */
export function shortName({ name }: Method): string {
  return name.slice(name.indexOf(".") + 1);
}

/** Fields in the order of their numbers. */
export function fieldsOf(type: protobuf.Type): protobuf.Field[] {
  return [...type.fieldsArray].sort((a, b) => a.id - b.id);
}

/** The oneof that a field is one of; `undefined` for none, and for proto3's `optional`, which is written as one. */
export function oneofOf(field: protobuf.Field): protobuf.OneOf | undefined {
  return field.partOf === null || field.options?.["proto3_optional"] === true ? undefined : field.partOf;
}
