/**
 * Rules, or parts of rules, that nobody can see over the wire from outside. Short on purpose: what is here is proven for
 * this package's own drivers only, and an author of another one has to read it.
 */

export interface ProvenElsewhere {
  readonly id: string;
  /** What the kit cannot see; "all of it" where no test of the kit has the id. */
  readonly what: string;
  readonly why: string;
  /** The test that proves it here, from the repository's root. */
  readonly file: string;
}

export const provenElsewhere: readonly ProvenElsewhere[] = [];
