/** Wrong about what belongs to every call, and about who the driver is. */
import { randomUUID } from "node:crypto";
import { status as Code, Metadata } from "@grpc/grpc-js";
import { hasReason, OutriggerError } from "../../../proto/errors.ts";
import type { DescribeResponse } from "../../../proto/gen/outrigger/handshake/v1/DescribeResponse.ts";
import { honest } from "../habits.ts";
import type { Wrong } from "../wrongs.ts";
import { besideUploads } from "./upload.ts";

const never = () => new Promise<never>(() => {});

function claiming(described: DescribeResponse, capability: string): DescribeResponse {
  const stores = described.stores.map((store) =>
    store.kind === "STORE_KIND_BLOB" ? { ...store, capabilities: [...store.capabilities, capability] } : store,
  );
  return { ...described, stores };
}

function notClaiming(honestly: DescribeResponse, capability: string): DescribeResponse {
  const stores = honestly.stores.map((store) => ({
    ...store,
    capabilities: store.capabilities.filter((claimed) => claimed !== capability),
  }));
  return { ...honestly, stores };
}

export const wireWrongs: readonly Wrong[] = [
  {
    name: "store-ignored",
    does: "answers calls that ask for another store",
    caughtBy: ["call.store.01"],
    beside: ["calls"],
    changes: () => ({ wire: { assertStore() {} } }),
  },
  {
    name: "late-effect",
    does: "changes things after not-after",
    caughtBy: ["blob.append.21", "call.notafter.01", "meta.write.08"],
    beside: ["call.store.01", "blob.append.02", "meta.write.07"],
    changes: () => ({ wire: { assertInTime() {} } }),
  },
  {
    name: "no-clock",
    does: "does not tell its clock",
    caughtBy: ["call.now.01"],
    beside: ["calls"],
    changes: () => ({ wire: { now: () => undefined } }),
  },
  {
    name: "clock-off",
    does: "has a clock that is an hour fast",
    caughtBy: ["call.now.01"],
    beside: ["calls"],
    changes: () => ({ wire: { now: () => String(Date.now() + 3_600_000) } }),
  },
  {
    name: "no-contract",
    does: "tells no hash of what Describe says",
    caughtBy: ["call.contract.01"],
    beside: ["calls"],
    changes: () => ({ wire: { contract: () => undefined } }),
  },
  {
    name: "contract-stays",
    does: "keeps its contract's hash though Describe says something else",
    caughtBy: ["call.contract.01"],
    beside: ["calls"],
    changes() {
      // As after a start that found other data; two replicas that tell different things are two contracts as well.
      const outside = Number(process.hrtime.bigint() % 1_000_000_000n);
      return {
        wire: {
          contract: () => "the-same-for-ever",
          describe: (honestly) => ({
            ...honestly,
            stores: honestly.stores.map((store) => ({ ...store, outside })),
          }),
        },
      };
    },
  },
  {
    name: "wrong-code",
    does: "gives CONDITION_FAILED under the code FAILED_PRECONDITION",
    caughtBy: ["call.error.01"],
    beside: ["calls"],
    changes: () => ({
      wire: {
        status: (error, trailers) => {
          const status = honest.wire.status(error, trailers);
          return error.reason === "CONDITION_FAILED" ? { ...status, code: Code.FAILED_PRECONDITION } : status;
        },
      },
    }),
  },
  {
    name: "no-reason",
    does: "gives NOT_FOUND for a key without a reason",
    caughtBy: ["call.error.01"],
    beside: ["calls"],
    changes: () => ({
      wire: {
        status: (error, trailers = new Metadata()) =>
          error.reason === "KEY_NOT_FOUND"
            ? { code: error.code, details: error.message, metadata: trailers }
            : honest.wire.status(error, trailers),
      },
    }),
  },
  {
    name: "faults-of-its-own",
    does: "gives INTERNAL for a key that is not there, and for what it does not claim",
    caughtBy: ["blob.move.02", "blob.read.07", "blob.signurl.01"],
    beside: ["blob.read.01", "blob.read.02", "blob.read.06", "blob.move.03", "blob.stat.01"],
    changes: () => ({
      wire: {
        status(error, trailers) {
          const blamed = hasReason(error, "KEY_NOT_FOUND", "CAPABILITY_MISSING");
          return honest.wire.status(blamed ? new OutriggerError("INTERNAL", error.message) : error, trailers);
        },
      },
    }),
  },
  {
    name: "hang",
    does: "never answers ListUploads",
    caughtBy: ["blob.abort.03", "blob.append.16", "blob.listuploads.01", "blob.listuploads.02"],
    beside: ["blob.getupload.01", "blob.abort.01", "blob.append.02"],
    patienceMs: 2_000,
    changes: () => ({ wire: { arrive: (method) => (method === "blob.ListUploads" ? never() : Promise.resolve()) } }),
  },
  {
    name: "hang-version",
    does: "never answers Version",
    caughtBy: ["handshake.version.01", "handshake.version.02"],
    beside: ["handshake"],
    patienceMs: 2_000,
    changes: () => ({ wire: { arrive: (method) => (method === "handshake.Version" ? never() : Promise.resolve()) } }),
  },
  {
    name: "lying-sign-url",
    does: "claims SIGN_URL and has no URLs",
    caughtBy: ["handshake.describe.03"],
    beside: ["handshake"],
    changes: () => ({ wire: { describe: (honestly) => claiming(honestly, "SIGN_URL") } }),
  },
  {
    name: "unclaimed-local-file",
    does: "says where files lie without claiming LOCAL_FILE",
    caughtBy: ["blob.locatefile.01"],
    beside: ["handshake", "blob.stat", "blob.signurl.01"],
    changes: () => ({ wire: { describe: (honestly) => notClaiming(honestly, "LOCAL_FILE") } }),
  },
  {
    name: "two-stores-of-a-kind",
    does: "describes its blob store twice",
    caughtBy: ["handshake.describe.02"],
    beside: ["handshake"],
    changes: () => ({
      wire: {
        describe: (honestly) => ({ ...honestly, stores: [...honestly.stores, ...honestly.stores.slice(0, 1)] }),
      },
    }),
  },
  {
    name: "ids-of-its-own",
    does: "tells other store ids than its replica does",
    caughtBy: ["handshake.describe.04"],
    beside: ["handshake.version", "handshake.describe.01", "handshake.describe.02"],
    changes: () => ({
      wire: {
        describe: (honestly) => ({
          ...honestly,
          stores: honestly.stores.map((store) => ({ ...store, id: randomUUID() })),
        }),
      },
    }),
  },
  {
    name: "version-twice",
    does: "lists a major version twice",
    caughtBy: ["handshake.version.02"],
    beside: ["handshake"],
    changes: () => ({
      wire: {
        answer(method, response) {
          if (method !== "handshake.Version") return response;
          const versions = [
            { major: 1, minor: 0 },
            { major: 1, minor: 1 },
          ];
          return { api: { "outrigger.blob": { versions }, "outrigger.meta": { versions } } };
        },
      },
    }),
  },
  {
    name: "describes-anew",
    does: "says another version each time it describes itself",
    caughtBy: ["handshake.describe.01"],
    beside: ["handshake"],
    changes() {
      let times = 0;
      return {
        wire: {
          answer: (method, response) =>
            method === "handshake.Describe" ? { ...response, version: `1.0.${times++}` } : response,
        },
      };
    },
  },
  {
    name: "pages-too-large",
    does: "sends messages over 4 MiB",
    caughtBy: ["call.size.01", "meta.get.02", "meta.list.03"],
    beside: ["meta.get", "meta.list.01"],
    changes: () => ({ list: { pageBytes: Number.POSITIVE_INFINITY } }),
  },
  {
    name: "key-unchecked",
    does: "takes any text for a key: ../../etc/passwd",
    caughtBy: ["blob.key.01", "meta.key.01"],
    beside: ["blob.key", "meta.key"],
    changes: () => ({ fields: { key() {} } }),
  },
  {
    name: "upload-id-unchecked",
    does: "takes any text for an upload's id: ../x",
    caughtBy: ["blob.append.22"],
    beside: besideUploads,
    changes: () => ({ fields: { uploadId() {} } }),
  },
];
