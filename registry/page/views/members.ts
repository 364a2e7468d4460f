/** The registries that answer as one, and the stores of each. */

import type { MemberOverview, RegistryOverview, StoreOverview } from "../contract.ts";
import { type Html, html, type Piece } from "../html.ts";
import { sentence } from "../problem.ts";
import type { PageContent } from "./layout.ts";
import { type Column, table } from "./parts.ts";

export function membersPage({ members }: RegistryOverview): PageContent {
  const isAlone = members.length === 1;
  const well = members.filter((member) => member.isReachable && stateOf(member) === "good").length;
  return {
    title: isAlone ? "This registry" : "Members",
    section: "members",
    main: html`<div class="title"><h1>${isAlone ? "This registry" : "Members"}</h1>
${!isAlone && html`<p class="total" data-say>${well} of ${members.length} well</p>`}</div>
${isAlone && html`<p class="quiet">It stands alone: its repositories lie in stores of its own, behind drivers in other processes.</p>`}
<div class="members">${members.map((member) => card(member, isAlone))}</div>`,
  };
}

type State = "good" | "poor" | "bad";

function stateOf({ isReachable, problem, stores = [] }: MemberOverview): State {
  if (!isReachable) return "bad";
  return problem !== undefined || stores.some((store) => !store.ready) ? "poor" : "good";
}

const WORDS: Readonly<Record<State, string>> = { good: "well", poor: "in trouble", bad: "does not answer" };

function card(member: MemberOverview, isAlone: boolean): Html {
  const { id, isSelf, version, problem, stores } = member;
  const state = stateOf(member);
  return html`<section class="member">
<h2>${isAlone ? "Outrigger" : id} <span class="badge ${state}">${WORDS[state]}</span>${isSelf && !isAlone && html` <span class="badge">answers you</span>`}</h2>
<p class="quiet">${version === undefined ? "version not known" : `version ${version}`}</p>
${problem !== undefined && html`<p class="problem">${sentence(problem)}</p>`}
${storesOf(stores, isAlone ? "this registry" : id)}
</section>`;
}

function storesOf(stores: readonly StoreOverview[] | undefined, of: string): Piece {
  if (stores === undefined) return undefined;
  if (stores.length === 0) return html`<p class="quiet">No store was reached yet.</p>`;
  const columns: readonly Column<StoreOverview>[] = [
    {
      heading: "Store",
      kind: "main",
      cell: (store) => html`${KINDS[store.kind]}${store.role === "move" && " (being moved to)"}`,
    },
    ...(stores.some(({ prefix }) => prefix)
      ? [
          {
            heading: "Repositories",
            cell: ({ prefix }: StoreOverview) => (prefix ? html`<code>${prefix}/</code>` : "all others"),
          },
        ]
      : []),
    { heading: "Driver", cell: driverOf },
    {
      heading: "State",
      cell: (store) =>
        html`<span class="badge ${store.ready ? "good" : "bad"}">${store.ready ? "ready" : "not ready"}</span>${store.problem !== undefined && html` <span class="problem">${store.reason !== undefined && html`<code>${store.reason}</code> `}${sentence(store.problem)}</span>`}`,
    },
    {
      heading: "Id",
      cell: ({ id }) => (id === undefined ? html`<span class="unknown">–</span>` : html`<code>${id}</code>`),
    },
  ];
  return table(`Stores of ${of}`, columns, stores);
}

const KINDS: Readonly<Record<StoreOverview["kind"], string>> = { blob: "blobs", meta: "metadata" };

function driverOf({ driver, driverVersion }: StoreOverview): Piece {
  if (driver === undefined) return html`<span class="unknown">–</span>`;
  return html`<code>${driver}</code>${driverVersion !== undefined && ` ${driverVersion}`}`;
}
