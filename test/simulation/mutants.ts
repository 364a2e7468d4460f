/** Bugs planted on purpose: each must be found, or the simulation looks away from what it is there to see. */
import type { MetaOperation, MetaStore } from "../../client/contract.ts";
import { OutriggerError } from "../../proto/errors.ts";
import type { AppendRequest } from "../../proto/gen/outrigger/blob/v1/AppendRequest.ts";
import type { AppendStream, Handlers, IncomingCall, Transport } from "../../proto/transport.ts";
import { changesPrefix } from "../../registry/repository/keys.ts";
import type {
  BlobDriver,
  CallContext,
  Driver,
  MetaDriver,
  MetaOperation as Operation,
  Upload,
} from "../../server/contract.ts";
import { delegate } from "./delegate.ts";
import { Inbox } from "./inbox.ts";
import type { Mutation } from "./mutation.ts";
import type { Kind, Plan, Topology } from "./plan.ts";

export interface Mutant {
  readonly name: string;
  /** The schedules that can meet it. */
  readonly kind: Kind;
  readonly topology: Topology;
  readonly mutation: Mutation;
  /** The rules it breaks. */
  readonly rules: RegExp;
  /** What it takes to meet it often enough for a test. */
  readonly shape?: (plan: Plan) => Plan;
}

export const mutants: readonly Mutant[] = [
  {
    name: "offset 0 truncates",
    rules: /^(bytes of an old fence|progress grows|persisted never falls|a commit holds)/,
    kind: "fences",
    topology: "filesystem",
    mutation: { handlers: truncatingAtZero },
  },
  {
    name: "acknowledged before persisted",
    rules: /^(persisted never falls|an upload that was acknowledged|what fails, fails)/,
    kind: "stores",
    topology: "filesystem",
    mutation: { driver: acknowledgingEarly },
  },
  {
    name: "bytes of an old fence after the barrier",
    rules: /^(bytes of an old fence|an older stream does not commit|persisted never falls|progress grows)/,
    kind: "fences",
    topology: "replicas",
    mutation: { shared: { noFence: true } },
  },
  {
    name: "a commit's retry makes an empty upload",
    rules: /^what fails, fails/,
    kind: "stores",
    topology: "filesystem",
    mutation: { transport: alwaysCreating },
  },
  {
    name: "a write that wakes up past not-after",
    rules: /is one atomic map$/,
    kind: "stores",
    topology: "replicas",
    mutation: { shared: { neverLate: true }, handlers: withoutNotAfter },
    shape: (plan) => ({ ...plan, weather: { ...plan.weather, repeat: 0.5 } }),
  },
  {
    name: "half a Write after a crash",
    rules: /^meta store is one atomic map$/,
    kind: "stores",
    topology: "filesystem",
    mutation: { driver: writingInHalves },
  },
  {
    name: "an etag reused in one clock tick",
    rules: /^(an etag stands for one content|meta store is one atomic map)$/,
    kind: "stores",
    topology: "replicas",
    mutation: { shared: { clockEtags: true } },
  },
  {
    name: "a manifest accepted while its layer's link is taken away",
    rules: /^a manifest's layers are in its repository$/,
    kind: "registry",
    topology: "replicas",
    mutation: { meta: withoutGuards },
    shape: (plan) => ({ ...plan, hot: true, cores: 3, coreMode: "many" }),
  },
  {
    name: "a Write that does not tell search what it changes",
    rules: /^every core sees the same tag$/,
    kind: "registry",
    topology: "replicas",
    mutation: { meta: withoutChanges },
  },
  {
    name: "32 uploads that fill the budget below every persist_step",
    rules: /^nothing hangs$/,
    kind: "budget",
    topology: "replicas",
    mutation: { transport: withoutFlush },
  },
];

/** A chunk at offset 0 begins the upload anew, as proto3's zero does where nobody asks whether it was meant. */
function truncatingAtZero(handlers: Handlers): Handlers {
  return {
    ...handlers,
    async append(requests, send, call) {
      let receivedBytes = 0;
      let inner: { readonly inbox: Inbox<AppendRequest>; readonly ended: Promise<void> } | undefined;
      const begin = (open: AppendRequest, answers: boolean) => {
        const inbox = new Inbox<AppendRequest>(nothing, nothing);
        let silent = !answers;
        const ended = handlers.append(
          inbox,
          async (response) => {
            if (response.opened && silent) silent = false;
            else {
              if (response.opened) receivedBytes = Number(response.opened.persisted ?? 0);
              await send(response);
            }
          },
          call,
        );
        ended.catch(nothing);
        inbox.arrive(open);
        return { inbox, ended };
      };
      const iterator = requests[Symbol.asyncIterator]();
      let open: AppendRequest | undefined;
      for (;;) {
        const next = await Promise.race([
          iterator.next(),
          ...(inner === undefined ? [] : [inner.ended.then(() => undefined)]),
        ]);
        if (next === undefined) return;
        if (next.done) break;
        const request = next.value;
        if (inner === undefined) {
          open = request;
          inner = begin(request, true);
          continue;
        }
        if (request.chunk?.offset === 0 && receivedBytes > 0 && open?.open) {
          inner.inbox.end(new OutriggerError("STREAM_BROKEN", "begun anew"));
          await inner.ended.catch(nothing);
          await handlers.unary("blob.AbortUpload", { uploadId: open.open.uploadId }, call);
          receivedBytes = 0;
          inner = begin(
            { step: "open", open: { ...open.open, sender: `${open.open.sender}-anew`, create: true } },
            false,
          );
        }
        receivedBytes += request.chunk?.data.length ?? 0;
        inner.inbox.arrive(request);
      }
      inner?.inbox.end();
      await inner?.ended;
    },
  };
}

function acknowledgingEarly(driver: Driver): Driver {
  const early = (upload: Upload): Upload => {
    let writtenBytes = upload.persistedBytes;
    return delegate(upload, {
      get persistedBytes() {
        return writtenBytes;
      },
      async write(data: Uint8Array) {
        await upload.write(data);
        writtenBytes += data.length;
      },
      flush: () => Promise.resolve(),
    });
  };
  const { blob } = driver;
  if (blob === undefined) return driver;
  const changed = delegate(blob, {
    open: async (...args: Parameters<BlobDriver["open"]>) => early(await blob.open(...args)),
  });
  return delegate(driver, { blob: changed });
}

function alwaysCreating(transport: Transport): Transport {
  return withMessages(transport, (message) => (message.open ? { open: { ...message.open, create: true } } : message));
}

function withoutFlush(transport: Transport): Transport {
  return withMessages(transport, (message) => (message.flush ? undefined : message));
}

type SentMessage = Parameters<AppendStream["send"]>[0];

function withMessages(transport: Transport, change: (message: SentMessage) => SentMessage | undefined): Transport {
  return delegate(transport, {
    append: (call: Parameters<Transport["append"]>[0]): AppendStream => {
      const stream = transport.append(call);
      return {
        incoming: stream.incoming,
        send: async (message) => {
          const changed = change(message);
          if (changed !== undefined) await stream.send(changed);
        },
        end: () => stream.end(),
      };
    },
  });
}

function withoutNotAfter(handlers: Handlers): Handlers {
  const timeless = (call: IncomingCall): IncomingCall => {
    const { notAfterMs: _, ...metadata } = call.metadata;
    return { ...call, metadata };
  };
  return {
    ...handlers,
    unary: (method, request, call) => handlers.unary(method, request, timeless(call)),
    append: (requests, send, call) => handlers.append(anyTime(requests), send, timeless(call)),
  };

  async function* anyTime(requests: AsyncIterable<AppendRequest>): AsyncIterable<AppendRequest> {
    for await (const request of requests) {
      if (request.open) yield { ...request, open: { ...request.open, notAfterMs: 0 } };
      else if (request.commit) yield { ...request, commit: { ...request.commit, notAfterMs: 0 } };
      else yield request;
    }
  }
}

/** All conditions are looked at with the first operation; the others follow in a record of their own. */
function writingInHalves(driver: Driver): Driver {
  const { meta } = driver;
  if (meta === undefined) return driver;
  const changed = delegate(meta, {
    async write(operations: readonly Operation[], call: CallContext): ReturnType<MetaDriver["write"]> {
      const [first, ...others] = operations;
      if (first === undefined || others.length === 0) return meta.write(operations, call);
      const conditions = others.flatMap(({ key, condition }): Operation[] =>
        condition === undefined ? [] : [{ kind: "check", key, condition }],
      );
      const [etag = ""] = await meta.write([first, ...conditions], call);
      const changes = others.filter((operation) => operation.kind !== "check");
      const etags =
        changes.length === 0
          ? []
          : await meta.write(
              changes.map(({ condition: _, ...change }) => change as Operation),
              call,
            );
      let at = 0;
      return [etag, ...others.map((operation) => (operation.kind === "check" ? "" : (etags[at++] ?? "")))];
    },
  });
  return delegate(driver, { meta: changed });
}

/** What is added does not check the guard that what is taken away has changed. */
function withoutGuards(meta: MetaStore): MetaStore {
  return delegate(meta, {
    async write(operations: readonly MetaOperation[], options?: Parameters<MetaStore["write"]>[1]) {
      const isGuard = ({ kind, key }: MetaOperation) => kind === "check" && key.startsWith("outrigger/catalog/");
      const etags = await meta.write(
        operations.filter((operation) => !isGuard(operation)),
        options,
      );
      let at = 0;
      return operations.map((operation) => (isGuard(operation) ? "" : (etags[at++] ?? "")));
    },
  });
}

/** No Write says which keys of search it changes. */
function withoutChanges(meta: MetaStore): MetaStore {
  return delegate(meta, {
    async write(operations: readonly MetaOperation[], options?: Parameters<MetaStore["write"]>[1]) {
      const told = operations.filter(({ key }) => !key.startsWith(changesPrefix));
      return [...(await meta.write(told, options)), ...operations.slice(told.length).map(() => "")];
    },
  });
}

function nothing(): void {}
