/** Patterns of repository names: `*` is anything within a component, `**` anything. */

const PATTERN = /^[a-z0-9*][a-z0-9._*/-]*$/;

/** `undefined`: not a pattern. */
export function ownerRule(pattern: string): ((name: string) => boolean) | undefined {
  if (!PATTERN.test(pattern) || pattern.length > 255 || /\*{3}|\/\/|\/$/.test(pattern)) return undefined;
  const source = pattern
    .split(/(\*\*|\*)/)
    .map((part) => (part === "**" ? ".*" : part === "*" ? "[^/]*" : part.replace(/[.]/g, "\\.")))
    .join("");
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}
