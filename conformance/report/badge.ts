/**
 * badge.json, the shields.io endpoint format. shields.io refuses keys that it does not know: so profiles, versions and date
 * stand in the message itself.
 */
import { isGreen, type ProfileState, type RunResult } from "../results.ts";

export interface Badge {
  readonly schemaVersion: 1;
  readonly label: string;
  readonly message: string;
  readonly color: "brightgreen" | "red" | "lightgrey";
}

export function badgeOf(result: RunResult): Badge {
  const profilesIn = (wanted: ProfileState) =>
    Object.entries(result.profiles)
      .filter(([, state]) => state === wanted)
      .map(([name]) => name);
  const label = "outrigger";
  const failed = profilesIn("failed");
  const told = [versions(result), result.startedAt.slice(0, 10)].filter((part) => part !== "").join(" | ");
  if (failed.length > 0)
    return { schemaVersion: 1, label, message: `fails ${failed.join(", ")} | ${told}`, color: "red" };
  // A run of some tests proves none of the profiles.
  if (!isGreen(result) || result.filtered)
    return { schemaVersion: 1, label, message: `not proven | ${told}`, color: "lightgrey" };
  return { schemaVersion: 1, label, message: `${profilesIn("passed").join(", ")} | ${told}`, color: "brightgreen" };
}

/** "io.outrigger.filesystem 0.1.0 | blob 1.0, meta 1.0" */
function versions({ driver }: RunResult): string {
  if (driver === undefined) return "";
  const apis = driver.apis.map((api) => api.replace(/^outrigger\./, "")).join(", ");
  return `${driver.name} ${driver.version} | ${apis}`;
}
