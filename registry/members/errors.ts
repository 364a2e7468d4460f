/** What goes wrong with another member: always an error that names it. */
import { RegistryError } from "../errors.ts";

/** It cannot be asked at this moment: refused, silent, broken off, given up for a while. 503. */
export class MemberDown extends RegistryError {
  readonly member: string;

  constructor(member: string, why: string, cause?: unknown) {
    super("UNAVAILABLE", `member ${member} of the cluster does not answer: ${why}`, {
      detail: { member },
      retryAfterSeconds: 2,
      ...(cause === undefined ? {} : { cause }),
    });
    this.name = "MemberDown";
    this.member = member;
  }
}

/** It answers what no member may: 502. */
export class MemberWrong extends RegistryError {
  readonly member: string;

  constructor(member: string, what: string, cause?: unknown) {
    super("UNAVAILABLE", `member ${member} of the cluster ${what}`, {
      status: 502,
      detail: { member },
      ...(cause === undefined ? {} : { cause }),
    });
    this.name = "MemberWrong";
    this.member = member;
  }
}

/** It knows another list of members, or is not yet done with what it began under the last one: 503, and soon over. */
export class MemberDisagrees extends RegistryError {
  readonly member: string;

  constructor(member: string, said: string) {
    super("UNAVAILABLE", `member ${member} of the cluster has another list of members (${said}); try again`, {
      detail: { member },
      retryAfterSeconds: 2,
    });
    this.name = "MemberDisagrees";
    this.member = member;
  }
}

export type MemberError = MemberDown | MemberWrong | MemberDisagrees;

export function isMemberError(error: unknown): error is MemberError {
  return error instanceof MemberDown || error instanceof MemberWrong || error instanceof MemberDisagrees;
}

/** For what has no owner. @throws */
export function nobodys(name: string, ids: readonly string[]): RegistryError {
  return new RegistryError("NAME_UNKNOWN", "the repository belongs to no member of this cluster (cluster.owner)", {
    detail: { name, members: ids },
  });
}

/** 421, which a member takes for "ask again soon": a reload goes through the members one by one. */
export function otherList(own: string, asked: string): RegistryError {
  const message =
    own === asked
      ? "it is not the one to ask, or not yet done with what it began under its last list"
      : `it has list ${own}, and was asked under ${asked}`;
  return new RegistryError("UNAVAILABLE", message, { status: 421 });
}

export function isOtherList(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 421;
}

/** For who has proved to be a member, and has the same list, in which it is not: it was one once. 401. */
export function noMemberAnyMore(id: string, ids: readonly string[]): RegistryError {
  return new RegistryError(
    "UNAUTHORIZED",
    `not a member's request: ${id} is none of cluster.members: there are ${ids.join(", ")}`,
  );
}

export function onlyMembers(): RegistryError {
  return new RegistryError("UNSUPPORTED", "there is no such endpoint for clients", { status: 404 });
}
