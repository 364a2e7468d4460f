/** docs/reference/errors.md: every reason between core and driver, every code between registry and client. */
import { status as Code } from "@grpc/grpc-js";
import { type Recovery, reasons } from "../../proto/errors.ts";
import { ociErrors } from "../../registry/errors.ts";
import { generated, markdownTable } from "./markdown.ts";

const recoveries: Readonly<Record<Recovery, string>> = {
  never: "not with these arguments",
  later: "the same call may work later",
  resume: "reconnect, reopen, go on",
};

export function errorsPage(): string {
  return `${generated("proto/errors.ts and registry/errors.ts")}
# Errors

## Between core and driver
A failed call carries \`google.rpc.ErrorInfo\` with domain \`outrigger\` and one of these reasons, under the gRPC code given
for it. No reason means that the transport spoke. What to do about each: [operate](../guides/operate.md).

${markdownTable(
  ["reason", "gRPC code", "retry", "meaning"],
  Object.entries(reasons).map(([reason, row]) => [
    `[${reason}](../guides/operate.md#${reason.toLowerCase()})`,
    Code[row.code],
    recoveries[row.recovery],
    row.meaning,
  ]),
)}

## Between registry and client
Codes of the OCI distribution specification 1.1, and those that its clients know from distribution.

${markdownTable(
  ["code", "usual HTTP status", "meaning"],
  Object.entries(ociErrors).map(([code, row]) => [code, String(row.status), row.meaning]),
)}
`;
}
