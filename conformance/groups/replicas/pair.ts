/** The driver and its replica. */
import type { Context, Peer } from "../../contract.ts";
import { KitError } from "../../faults.ts";

export function replicaOf(ctx: Context): { readonly other: Peer } {
  const other = ctx.peers[1];
  if (other === undefined) throw new KitError("there is no replica");
  return { other };
}
