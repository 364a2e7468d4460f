/** Who asks, and what they may do. */

export type Action = "pull" | "push" | "delete";

export interface Account {
  /** "" is whoever gives no credentials. */
  readonly name: string;
  readonly mayRead: (repository: string) => boolean;
  /** mayRead allows every repository: none has to be asked about one by one. */
  readonly readsAll?: true;
  readonly mayWrite: (repository: string) => boolean;
  /** Logging in may help: the WWW-Authenticate that says how. Absent: what is denied stays denied. */
  readonly challenge?: string;
}

/**
 * Turns a request's Authorization header into an account.
 * `challenge`: no, or not these; they may try others. Rejects with RegistryError when it cannot say.
 */
export interface Authenticator {
  /** Whether /v2/ asks whoever gives no credentials for some, although part of the registry is open to all. */
  readonly asksAtBase: boolean;
  /** Answers without a promise where it can: this runs on every request. */
  authenticate(authorization: string | undefined): Outcome | Promise<Outcome>;
}

export type Outcome = { readonly account: Account } | { readonly challenge: string };
