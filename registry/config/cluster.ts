/** The section `cluster`: which registries answer as one, and who of them owns a repository. */
import { z } from "zod";
import { ownerRule } from "../members/globs.ts";

const MEMBER_ID = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

const memberId = z
  .string()
  .regex(MEMBER_ID, "is not a member's id: write 1 to 32 of a-z, 0-9 and -, as in a or store-1");

const file = z.string().min(1, "is empty: write a path");

const member = z.strictObject({
  url: z
    .string()
    .refine(isOrigin, "is not an origin: write http:// or https://, a host and perhaps a port, nothing after it")
    .describe("Where the other members reach it: `https://host:port`, no path. Requests to members go here alone."),
  tls: z
    .strictObject({
      ca: file.optional().describe("PEM file of the authorities to trust. Default: the system's."),
      cert: file
        .optional()
        .describe(
          "PEM file of a certificate to show to this member, for one behind a proxy that asks for it. Default: that of `cluster.peers.tls`.",
        ),
      key: file.optional().describe("PEM file of its key."),
      serverName: z.string().optional().describe("Name that the member's certificate must have. Default: the url's."),
    })
    .refine(
      (tls) => (tls.cert === undefined) === (tls.key === undefined),
      "cert and key belong together: give both or neither",
    )
    .optional()
    .describe(
      "How its certificate is checked: `ca`, `cert`, `key`, `serverName`, each like those of `stores.blobs.tls`.",
    ),
});

const membersOf = (one: typeof member) =>
  z.record(memberId, one).refine((all) => Object.keys(all).length > 0, "is empty: name a member");

const members = membersOf(member);

const membersBefore = membersOf(
  member.extend({
    url: member.shape.url.describe(
      "`cluster.members` as it was, while repositories move after a change of it or of `cluster.owner`: the same on every member, until `outrigger cluster status` says that nothing is left to move (docs/guides/cluster.md).",
    ),
  }),
);

const owner = z.strictObject({
  by: z
    .enum(["rendezvous", "prefix", "rules"])
    .default("rendezvous")
    .describe(
      "Who owns a repository. `rendezvous`: a hash decides, and one more member moves 1/N of the names. `prefix`: the name's first component is a member's id. `rules`: `cluster.owner.rules`.",
    ),
  key: z
    .string()
    .default("")
    .describe(
      "With `rendezvous`: keys the hash, so that nobody outside can choose names that all fall to one member. The same on every member; another one moves nearly all names.",
    ),
  rules: z
    .array(
      z.strictObject({
        repositories: z
          .string()
          .refine(
            (text) => ownerRule(text) !== undefined,
            "is not a pattern: write a repository name, with * for anything within a component and ** for anything",
          )
          .describe("Names that the rule is for: `*` is anything within a component, `**` anything."),
        member: memberId.describe("Who owns them."),
      }),
    )
    .default([])
    .describe("With `by: rules`: the first one that fits a name counts; a name that none fits belongs to nobody."),
});

const peerTls = z.strictObject({
  ca: file.describe(
    "Members prove by certificates who they are; this is the PEM file of the authorities that sign them. Needs `http.tls`, and `https://` urls that no proxy ends TLS for. The files are read again when they change.",
  ),
  cert: file.describe(
    "PEM file of what this member shows to the others, good for clients, with those between it and the authority. Among its subject alternative names is `URI:outrigger-member:` with the member's id.",
  ),
  key: file.describe("PEM file of its key."),
});

const peers = z
  .strictObject({
    keyFile: file
      .optional()
      .describe(
        "Members prove by it who they are, unless `cluster.peers.tls` is there: one key a line, at least 32 characters each. The first signs, all are taken, so a key is exchanged by adding it below first. Read again on a reload. With `cluster.peers.tls` beside it either proves it, so that one can follow the other.",
      ),
    tls: peerTls.optional(),
  })
  .refine(
    ({ keyFile, tls }) => keyFile !== undefined || tls !== undefined,
    "has neither keyFile nor tls: say by what members prove to each other who they are",
  );

export const clusterSchema = z
  .strictObject({
    self: memberId.describe("Which of the members this registry is."),
    members: members.describe("All members, by id; the same list on each of them."),
    owner: owner.prefault({}),
    peers,
    partial: z
      .enum(["refuse", "allow"])
      .default("refuse")
      .describe(
        "What a list over all members is while one is down: `refuse`: an error that names it. `allow`: the others' part, with a Warning header.",
      ),
    digests: z
      .enum(["owner", "all", "adopt"])
      .default("owner")
      .describe(
        "Who is asked for a manifest or blob by digest. `all`: first this member, then the owner, then the others. What was deleted at the owner may then still be found elsewhere. `adopt`: as `all`, and what the owner lacked and another member had is kept by the owner from then on, as if it had been pushed to it. What was deleted at the owner then comes back to it while another member still holds it.",
      ),
    answerSeconds: z
      .number()
      .min(0.1)
      .max(600)
      .default(10)
      .describe(
        "How long a member may take to begin its answer; a change has as long as `stores.sealedWaitSeconds` more.",
      ),
    previous: z
      .strictObject({
        members: membersBefore.describe("`cluster.members` as it was."),
        owner: owner.prefault({}).describe("`cluster.owner` as it was."),
      })
      .optional()
      .describe(
        "While names move after a change of `members` or `owner`: what they were before, the same on every member, until `outrigger cluster status` says that nothing is left to move (docs/guides/cluster.md).",
      ),
  })
  .superRefine(checkCluster);

export type ClusterConfig = z.output<typeof clusterSchema>;
export type MemberConfig = z.output<typeof member>;
export type PeerTlsConfig = z.output<typeof peerTls>;
export type OwnerConfig = z.output<typeof owner>;

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  return isHttp && (text === url.origin || text === `${url.origin}/`);
}

interface ListInput {
  readonly members: Readonly<Record<string, { readonly url: string }>>;
  readonly owner: OwnerConfig;
}

function checkCluster(
  cluster: ListInput & {
    readonly self: string;
    readonly previous?: ListInput | undefined;
    readonly peers: z.output<typeof peers>;
  },
  context: z.core.$RefinementCtx,
): void {
  const { self, previous } = cluster;
  const say = (path: PropertyKey[], message: string) => context.addIssue({ code: "custom", path, message });
  if (!(self in cluster.members) && !(previous && self in previous.members)) {
    say(["self"], `is ${self}, which is none of cluster.members: there are ${Object.keys(cluster.members).join(", ")}`);
  }
  checkList(cluster, [], say);
  if (previous) checkList(previous, ["previous"], say);
  if (cluster.peers.keyFile !== undefined) return;
  checkHttps(cluster, [], say);
  if (previous) checkHttps(previous, ["previous"], say);
}

/** Where certificates alone prove who asks. */
function checkHttps(
  { members: all }: ListInput,
  path: PropertyKey[],
  say: (path: PropertyKey[], message: string) => void,
): void {
  for (const [id, { url }] of Object.entries(all)) {
    if (url.startsWith("http:"))
      say(
        [...path, "members", id, "url"],
        `is ${url}, where no certificate is shown, and members prove by those alone who they are: write https://, or give cluster.peers.keyFile too`,
      );
  }
}

/** Files of certificates, keys and authorities. */
export function tlsFilesOf({ peers: { tls }, members: all, previous }: ClusterConfig): string[] {
  const each = [...Object.values(all), ...Object.values(previous?.members ?? {})].map((one) => one.tls);
  return [tls, ...each].flatMap((one) => [one?.ca, one?.cert, one?.key]).filter((one) => one !== undefined);
}

function checkList(
  { members: all, owner: { by, rules } }: ListInput,
  path: PropertyKey[],
  say: (path: PropertyKey[], message: string) => void,
): void {
  const known = Object.keys(all).join(", ");
  const byUrl = new Map<string, string>();
  for (const [id, { url }] of Object.entries(all)) {
    const origin = URL.canParse(url) ? new URL(url).origin : url;
    const twin = byUrl.get(origin);
    if (twin !== undefined)
      say([...path, "members", id, "url"], `is ${origin}, which member ${twin} has: give each its own`);
    byUrl.set(origin, id);
  }
  if (by === "rules" && rules.length === 0)
    say([...path, "owner", "rules"], "is empty, and cluster.owner.by is rules: write a rule, perhaps for **");
  if (by !== "rules" && rules.length > 0)
    say([...path, "owner", "rules"], `is there, and cluster.owner.by is ${by}: leave one of them out`);
  for (const [index, rule] of rules.entries()) {
    if (!(rule.member in all))
      say([...path, "owner", "rules", index, "member"], `is ${rule.member}, which is no member: there are ${known}`);
  }
}
