/** A copy's outcome, for people and for scripts. */
import { linkKinds, type Tally } from "../../transfer/index.ts";
import { formatBytes, table } from "../terminal.ts";

/** Columns stay, fields are only added. */
export function copyReport({ blobs, links, dangling, problems, extras }: Tally): object {
  const { passedBytes: _, ...blobCounts } = blobs;
  return {
    blobs: blobCounts,
    ...links,
    dangling,
    problems: { count: problems.count, first: problems.kept },
    extras: { count: extras.count, first: extras.kept },
  };
}

export function copyTable({ blobs, links }: Tally): string[] {
  const rows = [
    ["", "copied", "there already", "at the target alone", "deleted"],
    [
      "blobs",
      `${blobs.copied} (${formatBytes(blobs.copiedBytes)})`,
      `${blobs.same} (${formatBytes(blobs.sameBytes)})`,
      String(blobs.extra),
      String(blobs.deleted),
    ],
    ...linkKinds.map((kind) => {
      const { copied, same, extra, deleted } = links[kind];
      return [kind, ...[copied, same, extra, deleted].map(String)];
    }),
  ];
  return table(rows.filter(([kind, ...counts]) => kind !== "other" || counts.some((count) => count !== "0")));
}
