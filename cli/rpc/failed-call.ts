/** How a failed call is shown: one block that can be read. */
import { status as Code, type Metadata, type ServiceError } from "@grpc/grpc-js";
import { fromStatus, reasons } from "../../proto/errors.ts";
import { formatMs, table } from "../terminal.ts";

export function failureBlock(method: string, error: ServiceError): string[] {
  const told = fromStatus(error.code, error.details, error.metadata, error);
  const code = `${Code[error.code] ?? "?"} (${error.code})`;
  if (told === undefined) {
    return block(method, code, [
      ["message", error.details],
      ["reason", "none: the transport spoke, or the driver breaks call.error.01"],
    ]);
  }
  const { meaning, recovery } = reasons[told.reason];
  const again = {
    never: "not with these arguments",
    later: "the same call may work later",
    resume: "reopen and go on",
  };
  return block(method, `${code} / ${told.reason}`, [
    ["message", told.message],
    ["meaning", meaning],
    ...Object.entries(told.metadata).map(([name, value]) => [`  ${name}`, value]),
    ["again", again[recovery]],
    ...(told.retryAfterMs === undefined ? [] : [["after", formatMs(told.retryAfterMs)]]),
  ]);
}

function block(method: string, code: string, rows: string[][]): string[] {
  return [`${method} failed: ${code}`, ...table(rows).map((line) => `  ${line}`)];
}

/** Metadata as lines; what is not text as base64. */
export function metadataLines(title: string, metadata: Metadata | undefined): string[] {
  const rows = Object.keys(metadata?.getMap() ?? {}).flatMap((name) =>
    (metadata?.get(name) ?? []).map((value) => [
      `  ${name}`,
      typeof value === "string" ? value : value.toString("base64"),
    ]),
  );
  return [`${title}:${rows.length === 0 ? " none" : ""}`, ...table(rows)];
}
