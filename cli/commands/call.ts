/** `outrigger call ADDR METHOD [JSON]`: any call of the contract by hand. */
import type { Command } from "commander";
import { headers } from "../../proto/metadata.ts";
import { Failure, Reported, UsageFailure } from "../failure.ts";
import { openLink, translate } from "../link.ts";
import { durationMs } from "../option-values.ts";
import { failureBlock, metadataLines } from "../rpc/failed-call.ts";
import { OutFile } from "../rpc/out-file.ts";
import { chunksOf, parseRequest, requestsFrom } from "../rpc/requests.ts";
import { findMethod, type Method, methods } from "../rpc/schema.ts";
import { details, listing } from "../rpc/shape.ts";
import { messageToJson } from "../rpc/to-json.ts";
import { isServiceError, type Message, openWire, type WireCall } from "../rpc/wire.ts";
import { addTlsOptions, type TlsOptions, targetOf } from "../target-options.ts";
import { endWithReader, print, warn } from "../terminal.ts";

interface CallOptions extends TlsOptions {
  readonly list?: boolean;
  readonly dataFile?: string;
  readonly outFile?: string;
  readonly text?: boolean;
  /** An id; true: by Describe; false: none. */
  readonly store: string | boolean;
  /** A duration; false: none. */
  readonly notAfter: string | false;
  readonly deadline: string;
  readonly header: readonly string[];
}

export function define(command: Command): void {
  addTlsOptions(
    command
      .argument("[addr]", "unix:///path, host:port or dns:///name:port")
      .argument("[method]", "Stat, meta.Get, BlobService.Read, …: see --list")
      .argument(
        "[json...]",
        "the request, {} if absent, - for stdin; a call that takes several takes them here or as lines of stdin",
      ),
  )
    .option("--list", "show every method and what its request looks like; with a method, that one with its rules")
    .option("--data-file <file>", "Put: the blob's bytes; Append: sent as chunks after the first message")
    .option("--out-file <file>", "write the bytes of the answers there, instead of showing them")
    .option("--text", 'show bytes that are text as {"text": …}')
    .option("--store <id>", "the store's id to send (default: what the driver describes)", true)
    .option("--no-store", "send no store id")
    .option("--not-after <time>", "what changes something must have done so within this time", "60s")
    .option("--no-not-after", "send no such limit")
    .option("--deadline <time>", "give up after this time", "60s")
    .option("--header <name=value>", "further metadata; may be repeated", collect, [])
    .action(call);
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

async function call(
  address: string | undefined,
  name: string | undefined,
  json: readonly string[],
  options: CallOptions,
): Promise<void> {
  if (options.list) return list(address, name);
  if (address === undefined || name === undefined)
    throw new UsageFailure("give the driver's address and a method, or --list for the methods");
  const method = findMethod(name);
  endWithReader();
  const texts = json.length === 1 && json[0] === "-" && !method.requestStream ? [await textOf(process.stdin)] : json;
  const given = texts.map((text, index) =>
    parseRequest(method, text, texts.length > 1 ? `request ${index + 1}` : "the request"),
  );
  assertFits(method, given.length, options);
  const deadlineMs = durationMs("--deadline", options.deadline);
  const target = targetOf(address, options);
  const metadata = await metadataFor(method, target, options);
  const wire = openWire(target);
  try {
    const running = wire.call(method, { metadata, deadlineMs });
    await exchange(running, method, given, address, metadata, options);
  } finally {
    wire.close();
  }
}

/** `--list` takes the address away from nothing: it may be left out. */
function list(address: string | undefined, name: string | undefined): void {
  const wanted = name ?? (address === undefined || /[:/]/.test(address) ? undefined : address);
  print(...(wanted === undefined ? listing(methods()) : details(findMethod(wanted))));
}

function assertFits(method: Method, count: number, { dataFile }: CallOptions): void {
  if (!method.requestStream && count > 1)
    throw new UsageFailure(`${method.name} takes one request, not ${count}: put the JSON in quotes`);
  if (dataFile !== undefined && !["BlobService.Put", "BlobService.Append"].includes(method.name))
    throw new UsageFailure(
      `--data-file is for Put and Append; in ${method.name} write bytes as {"file": "path"} in the JSON`,
    );
}

async function textOf(input: NodeJS.ReadableStream): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of input) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString();
}

async function metadataFor(
  method: Method,
  target: ReturnType<typeof targetOf>,
  options: CallOptions,
): Promise<Record<string, string>> {
  const metadata: Record<string, string> = {};
  if (method.store !== undefined && options.store !== false)
    metadata[headers.store] = options.store === true ? await describedId(target, method.store) : String(options.store);
  if (method.changes && options.notAfter !== false)
    metadata[headers.notAfter] = String(Date.now() + durationMs("--not-after", options.notAfter));
  for (const header of options.header) {
    const [, name = "", value = ""] = /^([a-z0-9_.-]+)=(.*)$/s.exec(header) ?? [];
    if (name === "") throw new UsageFailure(`--header ${header} is not name=value, with a name of lower-case letters`);
    metadata[name] = value;
  }
  return metadata;
}

async function describedId(target: ReturnType<typeof targetOf>, kind: "blob" | "meta"): Promise<string> {
  const link = openLink(target);
  try {
    const { response } = await link.describe();
    const store = response.stores.find((one) => one.kind === `STORE_KIND_${kind.toUpperCase()}`);
    if (store === undefined)
      throw new Failure(
        `${target.address} has no ${kind} store: call its own methods, or give --store ID to try all the same`,
      );
    return store.id;
  } finally {
    link.close();
  }
}

/** Sends and shows until both sides are done. @throws Reported once a failure has been shown */
async function exchange(
  running: WireCall,
  method: Method,
  given: readonly Message[],
  address: string,
  metadata: Readonly<Record<string, string>>,
  options: CallOptions,
): Promise<void> {
  // Taken out of the command line before commands see it (program.ts).
  const verbose = process.argv.includes("--verbose");
  if (verbose) warn(`${method.path}`, ...Object.entries(metadata).map(([name, value]) => `  ${name}  ${value}`));
  const out = options.outFile === undefined ? undefined : await OutFile.open(options.outFile);
  const persisted = new Told();
  const sending = send(running, method, given, persisted, options).catch((error) => {
    running.cancel();
    throw error;
  });
  // Whoever fails first is awaited below.
  sending.catch(() => {});
  try {
    for await (const answer of running.answers) {
      persisted.see(answer);
      await show(method, answer, out, options);
    }
    await sending;
    await out?.finish();
    if (out !== undefined) warn(`${out.sizeBytes} bytes in ${out.path}`);
  } catch (error) {
    await out?.discard();
    // What kept us from sending explains why the call was cancelled.
    await sending;
    if (!isServiceError(error)) throw error;
    const transport = translate(address, error);
    if (error.code === 14 && transport instanceof Failure) throw transport;
    warn(...failureBlock(method.name, error));
    throw new Reported();
  } finally {
    persisted.give();
    if (verbose) {
      warn(...metadataLines("metadata", running.initial), ...metadataLines("trailers", running.end?.metadata));
    }
  }
}

async function send(
  running: WireCall,
  method: Method,
  given: readonly Message[],
  persisted: Told,
  { dataFile }: CallOptions,
): Promise<void> {
  if (!method.requestStream) {
    const request = given[0] ?? {};
    if (dataFile !== undefined) request["data"] = (await import("node:fs")).readFileSync(dataFile);
    await running.send(request);
    return running.finish();
  }
  let first = true;
  for await (const request of given.length > 0 ? given : requestsFrom(process.stdin, method)) {
    if (!(await running.send(request))) return;
    if (first && dataFile !== undefined) {
      for await (const chunk of chunksOf(dataFile, await persisted.told)) if (!(await running.send(chunk))) return;
    }
    first = false;
  }
  running.finish();
}

/** Where an upload goes on, as soon as it is told. */
class Told {
  readonly told: Promise<number>;
  #tell: (bytes: number) => void = () => {};

  constructor() {
    this.told = new Promise((resolve) => {
      this.#tell = resolve;
    });
  }

  see(answer: Message): void {
    const { opened } = answer as { opened?: { persisted?: unknown } | null };
    if (opened) this.#tell(Number(opened.persisted ?? 0));
  }

  /** Nothing will be told any more. */
  give(): void {
    this.#tell(0);
  }
}

async function show(method: Method, answer: Message, out: OutFile | undefined, options: CallOptions): Promise<void> {
  const taken: Uint8Array[] = [];
  const json = messageToJson(method.response, answer, {
    text: options.text === true,
    ...(out === undefined
      ? {}
      : {
          bytes: (data) => {
            taken.push(data);
            return `(${data.length} bytes in ${out.path})`;
          },
        }),
  });
  for (const data of taken) await out?.write(data);
  const line = method.responseStream ? JSON.stringify(json) : JSON.stringify(json, undefined, 2);
  if (!process.stdout.write(`${line}\n`)) await new Promise((resolve) => process.stdout.once("drain", resolve));
}
