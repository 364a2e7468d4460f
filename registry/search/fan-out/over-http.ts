/** A question to another member as a request, and its answer as what GraphQL answers with. */
import type { GraphQlAnswer } from "../answer.ts";
import type { AskMember, PeerContext, PeerRequest } from "./contract.ts";

export interface PeerPost {
  readonly path: string;
  /** JSON. */
  readonly body: Buffer;
  /** Of the answer: more is an error. */
  readonly maxBytes: number;
}

/** @throws Error that says what of the member failed */
export type PostToMember = (
  member: string,
  post: PeerPost,
  context: PeerContext,
) => Promise<{ readonly status: number; readonly body: Buffer }>;

const PATH = "/v2/_outrigger/search";
/** 10,000 items of a hundred fields are about so much. */
const MAX_BYTES = 32 * 1024 * 1024;

export function askOverHttp(post: PostToMember): AskMember {
  return async (member, request, context) => {
    const body = Buffer.from(JSON.stringify(asked(request)));
    const answer = await post(member, { path: PATH, body, maxBytes: MAX_BYTES }, context);
    const value = parsed(answer.body);
    // 422 and 400 are answers, too: they say what of the question the member does not take.
    if ((answer.status === 200 || answer.status === 422 || answer.status === 400) && "data" in value) {
      return value as unknown as GraphQlAnswer;
    }
    throw new Error(`it answered ${answer.status}${reasonOf(value)}`);
  };
}

function asked({ query, variables, operationName, extensions }: PeerRequest): object {
  return { query, variables, operationName, extensions };
}

function parsed(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

/** Of the API's errors. */
function reasonOf({ errors }: Readonly<Record<string, unknown>>): string {
  const [first] = Array.isArray(errors) ? errors : [];
  const message: unknown = first?.message;
  return typeof message === "string" ? `: ${message.slice(0, 300)}` : "";
}
