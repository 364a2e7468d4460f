/** MetaService: what the host owes before and after the driver's functions. */
import { OutriggerError } from "../proto/errors.ts";
import type { GetResponse } from "../proto/gen/outrigger/meta/v1/GetResponse.ts";
import type { Item } from "../proto/gen/outrigger/meta/v1/Item.ts";
import type { Operation } from "../proto/gen/outrigger/meta/v1/Operation.ts";
import type { WriteRequest } from "../proto/gen/outrigger/meta/v1/WriteRequest.ts";
import type { WriteResponse } from "../proto/gen/outrigger/meta/v1/WriteResponse.ts";
import { assertAscii, assertKey, invalidField } from "../proto/keys.ts";
import { limits } from "../proto/limits.ts";
import type { ReceivedRequests, UnaryMethods } from "../proto/transport.ts";
import type { CallContext, MetaCondition, MetaDriver, MetaItem, MetaOperation } from "./contract.ts";
import { counted } from "./count.ts";
import * as fields from "./fields.ts";
import { cutPage, fitting, metaItemBytes } from "./pages.ts";

type Method = "meta.Get" | "meta.List" | "meta.Count" | "meta.Write";

export type MetaHandlers = {
  readonly [Name in Method]: (request: ReceivedRequests[Name], call: CallContext) => Promise<UnaryMethods[Name][1]>;
};

export function createMetaHandlers(driver: MetaDriver): MetaHandlers {
  return {
    async "meta.Get"(request, call): Promise<GetResponse> {
      const keys = fields.keys(request.keys, limits.getKeys);
      if (keys.length === 0) return { results: [], unread: [] };
      const found = await driver.get(keys, call);
      if (found.length === 0 || found.length > keys.length) throw notOneEach("get", found.length, keys.length);
      const pairs = found.map((item, index) => ({ key: keys[index] ?? "", item }));
      const answered = fitting(pairs, ({ key, item }) => metaItemBytes(key, item));
      return {
        results: pairs
          .slice(0, answered)
          .map(({ key, item }) => (item === undefined ? { key } : { key, item: toItem(item) })),
        unread: keys.slice(answered),
      };
    },

    async "meta.List"(request, call) {
      const page = fields.page(request);
      const { items, more } = cutPage(await driver.list(page, call), page.limit, (item) =>
        metaItemBytes(item.key, item),
      );
      return { items: items.map(toItem), more };
    },

    async "meta.Count"({ prefix }, call) {
      assertAscii("prefix", prefix);
      return driver.count === undefined ? counted(driver, prefix, call) : driver.count(prefix, call);
    },

    async "meta.Write"(request, call): Promise<WriteResponse> {
      const operations = readOperations(request);
      call.assertInTime();
      const etags = await driver.write(operations, call);
      if (etags.length !== operations.length) throw notOneEach("write", etags.length, operations.length);
      return { results: operations.map(({ key }, index) => ({ key, etag: etags[index] ?? "" })) };
    },
  };
}

/** [meta.write.05], [meta.key.01] */
function readOperations(request: WriteRequest): MetaOperation[] {
  const { operations } = request;
  if (operations.length === 0) throw invalidField("operations", "there are none");
  if (operations.length > limits.writeOperations) {
    throw invalidField("operations", `${operations.length} are more than ${limits.writeOperations}`);
  }
  const seen = new Set<string>();
  let bytes = 0;
  return operations.map((operation, index) => {
    const field = `operations[${index}]`;
    assertKey(operation.key);
    if (seen.has(operation.key)) throw invalidField(`${field}.key`, "the key is in this Write twice");
    seen.add(operation.key);
    bytes += operation.key.length + (operation.put?.length ?? 0) + (operation.ifEtag?.length ?? 0);
    if (bytes > limits.writeBytes) throw invalidField("operations", `together more than ${limits.writeBytes} bytes`);
    return readOperation(operation, field);
  });
}

function readOperation(operation: Operation, field: string): MetaOperation {
  const { key } = operation;
  const condition = readCondition(operation, field);
  const conditional = condition === undefined ? {} : { condition };
  switch (operation.action) {
    case "put": {
      const value = operation.put ?? Buffer.alloc(0);
      if (value.length > limits.valueBytes) {
        throw invalidField(`${field}.put`, `${value.length} bytes are more than ${limits.valueBytes}`);
      }
      return { kind: "put", key, value, ...conditional };
    }
    case "delete":
      return { kind: "delete", key, ...conditional };
    case "check":
      if (condition === undefined) throw invalidField(`${field}.condition`, "a check needs one");
      return { kind: "check", key, condition };
    default:
      throw invalidField(`${field}.action`, "is none of put, delete and check");
  }
}

function readCondition(operation: Operation, field: string): MetaCondition | undefined {
  switch (operation.condition) {
    case "ifAbsent":
      return { ifAbsent: true };
    case "ifPresent":
      return { ifPresent: true };
    case "ifEtag":
      if (!operation.ifEtag) throw invalidField(`${field}.if_etag`, "is empty");
      return { ifEtag: fields.etag(`${field}.if_etag`, operation.ifEtag) };
    default:
      return undefined;
  }
}

function toItem({ key, value, etag }: MetaItem): Item {
  return {
    key,
    value: Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length),
    etag,
  };
}

function notOneEach(what: string, got: number, asked: number): OutriggerError {
  return new OutriggerError("INTERNAL", `the driver's ${what} answered ${got} results for ${asked}`);
}
