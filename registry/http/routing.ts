/** What the API asks where several registries answer as one (registry/members/): who asks, and who answers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Account } from "../auth/contract.ts";
import type { Exchange } from "./exchange.ts";

/** A request of another member, which vouches for the account. */
export interface Asking {
  readonly account: Account;
}

export interface Routing {
  /**
   * `undefined`: a client asks.
   * @throws UNAUTHORIZED for who only claims to be a member, UNSUPPORTED (508) for a second hop
   */
  peerOf(request: IncomingMessage, response: ServerResponse): Asking | undefined;
  /** @param here answers from this registry's own stores */
  serve(exchange: Exchange, peer: Asking | undefined, here: (exchange: Exchange) => Promise<void>): Promise<void>;
}
