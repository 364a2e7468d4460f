/** The registry's configuration: the one place that says which keys there are and what they mean. */
import { z } from "zod";
import { clusterSchema } from "./cluster.ts";

const address = z
  .string()
  .regex(
    /^(?:unix:\/\/\/.+|(?:dns:\/\/\/)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5})$/,
    "is not an address: write unix:///path/driver.sock, host:port or dns:///name:port",
  );

const listen = z
  .string()
  .regex(
    /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):\d{1,5}$/,
    "is not an address to listen on: write host:port, or :port for every interface",
  )
  .refine(
    (text) => !/:\d{1,5}$/.test(text) || Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535,
    "has a port above 65535",
  );

const id = z.uuid("is not a store id: those are UUIDs, `outrigger describe ADDR` shows them");

const file = z.string().min(1, "is empty: write a path");

const store = z.strictObject({
  address: address.describe("Where the driver listens: `unix:///path/driver.sock`, `host:port` or `dns:///name:port`."),
  tls: z
    .strictObject({
      ca: file.optional().describe("PEM file of the authorities to trust. Default: the system's."),
      cert: file.optional().describe("PEM file of this registry's own certificate, for drivers that ask for one."),
      key: file.optional().describe("PEM file of its key."),
      serverName: z
        .string()
        .optional()
        .describe("Name that the driver's certificate must have. Default: the address's."),
    })
    .refine(
      (tls) => (tls.cert === undefined) === (tls.key === undefined),
      "cert and key belong together: give both or neither",
    )
    .optional()
    .describe("Talk TLS to the driver; `{}` is enough. Files are read again when they change."),
  id: id
    .optional()
    .describe("The store's id (`outrigger describe ADDR` shows it). Another store behind the address is refused."),
  acceptStoreId: id
    .optional()
    .describe("Accept this id although the registry has known another one: the store was exchanged on purpose."),
  localRoot: z
    .string()
    .regex(/^\//, "is not an absolute path")
    .optional()
    .describe("The store's root as this process sees it: blobs are then read from the files themselves."),
  requiredCapabilities: z
    .array(z.string().min(1))
    .optional()
    .describe("Refuse a driver that lacks one of these capabilities, such as `DURABLE`."),
});

const PREFIX = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*\/?$/;

interface PairInput {
  readonly blobs: { readonly address: string; readonly move?: { readonly to: string } | undefined };
  readonly meta?: { readonly address: string } | undefined;
}

/** Each prefix once, each driver in one pair: else repositories of one would show up in the other. */
function checkPairs(
  stores: PairInput & { readonly prefixes: readonly (PairInput & { readonly prefix: string })[] },
  context: z.core.$RefinementCtx,
): void {
  const seen = new Map<string, string>();
  const addresses = new Map<string, string>();
  const pairs = [{ path: [] as PropertyKey[], prefix: "", pair: stores as PairInput }];
  for (const [index, pair] of stores.prefixes.entries())
    pairs.push({ path: ["prefixes", index], prefix: pair.prefix.replace(/\/$/, ""), pair });
  for (const { path, prefix, pair } of pairs) {
    const name = ["stores", ...path].join(".");
    const say = (key: string, message: string) =>
      context.addIssue({ code: "custom", path: [...path, ...key.split(".")], message });
    const twin = seen.get(prefix);
    // What is no prefix at all is told by its own rule.
    if (twin !== undefined && prefix !== "") say("prefix", `is that of ${twin} too: write one entry for ${prefix}/`);
    seen.set(prefix, name);
    const used = {
      "blobs.address": pair.blobs.address,
      "blobs.move.to": pair.blobs.move?.to,
      "meta.address": pair.meta?.address,
    };
    for (const [key, address] of Object.entries(used)) {
      const owner = address === undefined ? undefined : addresses.get(address);
      if (owner !== undefined && owner !== name)
        say(key, `is ${address}, which ${owner} has: give each prefix stores of its own, or leave this entry out`);
      else if (address !== undefined) addresses.set(address, name);
    }
  }
}

const blobs = store.extend({
  move: z
    .strictObject({
      to: address.describe(
        "While blobs are moved: where the driver of the store listens that they are moved to (docs/guides/move-storage.md).",
      ),
      phase: z
        .enum(["read", "write"])
        .describe(
          "`read`: blobs are looked for in both stores, and written where they were. `write`, once every core is in phase `read`: written to the new one, and looked for in both.",
        ),
      onlyCore: z
        .boolean()
        .default(false)
        .describe(
          "No other core shares the stores: phase `write` may follow at once. With `cores: one` that is known.",
        ),
      ...store.pick({ tls: true, id: true, localRoot: true, requiredCapabilities: true }).shape,
    })
    .optional(),
});

export const configSchema = z.strictObject({
  http: z
    .strictObject({
      listen: listen
        .default("127.0.0.1:5000")
        .describe("Address of the API. Beyond loopback it needs `auth.htpasswd.file` or `auth.anonymous`."),
      secretFile: file
        .optional()
        .describe(
          "Signs upload addresses; at least 16 bytes, the same for all cores. Default: one that the meta store keeps.",
        ),
      tls: z
        .strictObject({
          cert: file.describe("PEM file of the certificate and those between it and the authority."),
          key: file.describe("PEM file of its key."),
        })
        .optional()
        .describe("Serve HTTPS (TLS 1.2 and newer). Files are read again when they change."),
      page: z
        .boolean()
        .default(true)
        .describe(
          "Serve a page for browsers at `/`: repositories, images, members and their stores (docs/guides/page.md).",
        ),
      metrics: z
        .strictObject({
          enabled: z.boolean().default(true).describe("Serve Prometheus metrics at /metrics."),
          listen: listen
            .optional()
            .describe("An address of their own. Default: that of the API, without authentication."),
        })
        .prefault({}),
    })
    .prefault({}),
  stores: z
    .strictObject({
      blobs: blobs.describe("Where layers and manifests lie."),
      meta: store.optional().describe("Where tags and links lie. Default: the same as `stores.blobs`."),
      sealedWaitSeconds: z
        .number()
        .int()
        .min(0)
        .max(600)
        .default(60)
        .describe(
          "How long a change waits, before it is answered with 503, while the meta store is sealed: its driver runs with `--read-only` because it is being moved. A reload changes it also for what waits already.",
        ),
      prefixes: z
        .array(
          z.strictObject({
            prefix: z
              .string()
              .regex(PREFIX, "is not a prefix: write components of a repository name, as in team-a/ or team-a/images/")
              .describe(
                "The repository of this name and all below it lie in stores of their own; of several prefixes the longest counts.",
              ),
            blobs: blobs.describe("Where their layers and manifests lie: a section like `stores.blobs`."),
            meta: store
              .optional()
              .describe(
                "Where their tags and links lie: a section like `stores.meta`. Default: the same as their `blobs`.",
              ),
          }),
        )
        .default([])
        .describe("Repositories that lie in other stores."),
    })
    .superRefine(checkPairs),
  cores: z
    .enum(["one", "many"])
    .default("many")
    .describe(
      "`many`: any number of registries share the stores. `one`: this one alone, which lets it keep tags in memory.",
    ),
  auth: z
    .strictObject({
      htpasswd: z
        .strictObject({ file: file.describe("Accounts, made by `htpasswd -B`. Read again when it changes.") })
        .optional(),
      anonymous: z
        .enum(["none", "pull", "push"])
        .optional()
        .describe(
          "What whoever gives no credentials may do. Default: `none` with an htpasswd file; `push` without one, and then only on loopback.",
        ),
      readOnly: z.array(z.string().min(1)).default([]).describe("Accounts that may pull but not push."),
    })
    .prefault({}),
  readOnly: z.boolean().default(false).describe("Refuse every change, whoever asks."),
  redirect: z
    .enum(["never", "always", "large"])
    .default("never")
    .describe(
      "Send pullers to the storage itself where its driver can sign addresses; `large`: for blobs above 1 MiB.",
    ),
  log: z
    .strictObject({
      level: z
        .enum(["trace", "debug", "info", "warn", "error", "silent"])
        .default("info")
        .describe("Least severe line that is written."),
    })
    .prefault({}),
  reload: z
    .enum(["sighup", "watch"])
    .default("sighup")
    .describe("When this file is read again: on SIGHUP, or also when it changes."),
  uploadBudgetMiB: z
    .number()
    .int()
    .min(8)
    .max(65_536)
    .default(128)
    .describe("Memory for what uploads have sent and the driver has not yet persisted, all together."),
  cluster: clusterSchema.optional(),
  scanner: store
    .pick({ tls: true })
    .extend({
      address: address.describe(
        "Where a scanner listens (outrigger.scan.v1): `unix:///path/scanner.sock`, `host:port` or `dns:///name:port`.",
      ),
    })
    .optional()
    .describe("Who knows the vulnerabilities of images. Without one, searches for them are refused."),
});

export type Config = z.output<typeof configSchema>;
/** As in the file: defaults not yet filled in. */
export type ConfigInput = z.input<typeof configSchema>;
