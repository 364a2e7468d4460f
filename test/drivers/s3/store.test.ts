/** The requests of the s3 driver, on versitygw. */
import { createClients } from "../../../drivers/s3/client.ts";
import { optionSpecs, type S3Options } from "../../../drivers/s3/options.ts";
import { createS3Store } from "../../../drivers/s3/store.ts";
import type { ObjectFacts, ObjectStore } from "../../../server/objects/contract.ts";
import { prefixed } from "../../../server/objects/prefixed.ts";
import { readOptions } from "../../../server/option-values.ts";
import { objectStoreSuite } from "../../helpers/object-store-suite.ts";
import type { Scope } from "../../helpers/processes.ts";
import { accessKey, secretKey, startS3Server } from "../../helpers/s3-server.ts";
import { missing } from "../../helpers/tools.ts";
import { bucketOf } from "./s3.ts";

process.env["AWS_ACCESS_KEY_ID"] = accessKey;
process.env["AWS_SECRET_ACCESS_KEY"] = secretKey;

const KIB = 1024;
const moment = Date.now();

for (const [name, prefix, copySizes] of [
  ["a bucket", "", undefined],
  ["a folder of a bucket, with copies by parts", "team/a/", { wholeBytes: 100 * KIB, partBytes: 128 * KIB }],
] as const) {
  objectStoreSuite(
    name,
    async (scope: Scope) => {
      const server = await startS3Server(scope);
      const { bucket } = bucketOf(server);
      const options = readOptions(optionSpecs, ["--bucket", bucket, "--endpoint", server.endpoint], {}) as S3Options;
      const open = () =>
        aboutTime(
          prefixed(
            createS3Store(createClients(options), {
              bucket,
              requestTimeoutMs: options.requestTimeout,
              // What versitygw 1.8.0 does, as probe.ts finds it.
              abilities: { copyCompares: false, deleteCompares: true },
              signs: true,
              ...(copySizes === undefined ? {} : { copySizes }),
            }),
            prefix,
          ),
        );
      return { store: open(), other: open() };
    },
    { skip: missing("versitygw", "s3-sdk"), contentEtags: true, completesAgain: true },
  );
}

/** S3 tells a second sometimes and a millisecond at other times: for the suite they are one moment. */
function aboutTime(store: ObjectStore): ObjectStore {
  const about = (facts: ObjectFacts): ObjectFacts =>
    Math.abs(facts.modifiedMs - Date.now()) < 3600_000 ? { ...facts, modifiedMs: moment } : facts;
  const { parts } = store;
  return {
    ...store,
    head: async (...args) => {
      const facts = await store.head(...args);
      return facts && about(facts);
    },
    read: async (...args) => {
      const bytes = await store.read(...args);
      return { ...bytes, facts: about(bytes.facts), cancel: () => bytes.cancel() };
    },
    put: async (...args) => about(await store.put(...args)),
    copy: async (...args) => about(await store.copy(...args)),
    list: async (...args) => {
      const page = await store.list(...args);
      return { ...page, items: page.items.map(about) };
    },
    parts: {
      limits: parts.limits,
      direct: parts.direct,
      begin: (...args) => parts.begin(...args),
      put: (...args) => parts.put(...args),
      list: (...args) => parts.list(...args),
      complete: async (...args) => about(await parts.complete(...args)),
      abandon: (...args) => parts.abandon(...args),
      begun: (...args) => parts.begun(...args),
    },
  };
}
