/** The htpasswd file: `name:$2y$…` a line, bcrypt only. */
import { readSettingFile } from "../setting-files.ts";

const BCRYPT = /^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$/;

/** Account name → bcrypt hash. @throws Error that names every line that cannot be used */
export async function readHtpasswd(file: string): Promise<ReadonlyMap<string, string>> {
  const bytes = await readSettingFile("auth.htpasswd.file", file);
  return parseHtpasswd(bytes.toString("utf8"), file);
}

export function parseHtpasswd(text: string, file: string): ReadonlyMap<string, string> {
  const accounts = new Map<string, string>();
  const problems: string[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.replace(/\r$/, "");
    if (line.trim() === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    // The hash itself is never part of a message.
    if (colon < 1) problems.push(`line ${index + 1} is not name:hash`);
    else if (!BCRYPT.test(line.slice(colon + 1)))
      problems.push(`line ${index + 1} (${name}) has no bcrypt hash: make it with htpasswd -B`);
    else if (accounts.has(name)) problems.push(`line ${index + 1} names ${name} a second time`);
    else accounts.set(name, line.slice(colon + 1));
  }
  if (problems.length > 0) throw new Error(`auth.htpasswd.file ${file}: ${problems.join("; ")}`);
  return accounts;
}
