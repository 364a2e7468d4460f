/** docs/reference/capabilities.md: what a store may claim, what it promises by it, and what the kit then asks. */
import type { StoreKind } from "../../conformance/contract.ts";
import { groups } from "../../conformance/groups/index.ts";
import { ruleOf } from "../../conformance/selection.ts";
import { generated, markdownTable } from "./markdown.ts";

interface Capability {
  readonly stores: readonly StoreKind[];
  readonly promise: string;
  readonly use: string;
  readonly without: string;
}

const capabilities: Readonly<Record<string, Capability>> = {
  DURABLE: {
    stores: ["blob", "meta"],
    promise: "What was acknowledged survives kill -9 and power loss; so does what was told as persisted of an upload.",
    use: "The registry forgets what an upload has persisted: pushes go on after the driver died.",
    without: "For tests and caches. What was stored may be gone after a restart.",
  },
  REPLICAS: {
    stores: ["blob", "meta"],
    promise:
      "Several processes may serve one backend at once: a change that one acknowledged is seen through each, takeover and conditions hold across them, and any of them goes on with any upload or listing. They answer the same contract hash.",
    use: "Several driver processes behind one address, and rolling restarts without a pause.",
    without:
      "One process takes the backend's lock, or the operator sees to it that there is one; `--lock-wait` for restarts.",
  },
  SIGN_URL: {
    stores: ["blob"],
    promise:
      "SignUrl gives a URL at which GET gives exactly the blob's bytes until it expires; HEAD gives their size, or is refused.",
    use: "The registry answers 307 to pulls, where its configuration says `redirect`.",
    without: "SignUrl is UNIMPLEMENTED / CAPABILITY_MISSING; every byte goes through the registry.",
  },
  LOCAL_FILE: {
    stores: ["blob"],
    promise:
      "Each committed blob is a regular file below one folder, never written again; LocateFile tells its path, and proves by a nonce that both sides see the folder.",
    use: "A registry that is given the folder (`localRoot`) reads blobs straight from it.",
    without: "LocateFile is UNIMPLEMENTED / CAPABILITY_MISSING.",
  },
};

export function capabilitiesPage(): string {
  const sections = Object.entries(capabilities).map(([name, { stores, promise, use, without }]) => {
    const asked = rulesFor(name);
    return `## ${name}
${markdownTable(
  ["", ""],
  [
    ["who may claim it", stores.map((store) => `${store} store`).join(", ")],
    ["the promise", promise],
    ["what a registry does with it", use],
    ["without it", without],
    ["what the kit then asks", asked.length === 0 ? "no more than of every driver" : asked.join(", ")],
  ],
)}
`;
  });
  return `${generated("scripts/docs/capabilities-page.ts and the kit's requirements")}
# Capabilities
What a store says in Describe that it can do beyond what every store must. A core ignores names that it does not know, uses
nothing that is not claimed, and refuses a driver that lacks what its configuration needs. A claim is a promise: the
[kit](conformance.md) tests each one, and a claim whose test fails is a failure. What is not claimed is shown as *not
claimed*, never as passed.

${sections.join("\n")}
Beside capabilities a store tells its own numbers: [limits](limits.md).
`;
}

/** Rules with a test that asks for the capability, in the kit's order. */
function rulesFor(name: string): string[] {
  const found = groups.flatMap((group) =>
    group.tests
      .filter((test) => (test.requires?.capability ?? group.requires.capability) === name)
      .map((test) => `\`${ruleOf(test)}\``),
  );
  return [...new Set(found)];
}
