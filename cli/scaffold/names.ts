/** A driver's name and what templates make of it. */
import { UsageFailure } from "../failure.ts";

const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const LONGEST = 40;

/** Every token that a template may hold, without its percent signs; cli/scaffold/README.md says what each is for. */
export type Tokens = Readonly<Record<"NAME" | "SNAKE" | "PASCAL" | "UPPER" | "VERSION" | "OUTRIGGER", string>>;

/** @throws UsageFailure that says what a name looks like, with one that would do where it can be guessed */
export function assertName(name: string): void {
  if (NAME.test(name) && name.length <= LONGEST) return;
  const guess = suggestion(name);
  const hint = guess === undefined ? "" : `: ${guess}?`;
  throw new UsageFailure(
    `${JSON.stringify(name)} is not a driver's name${hint} (lower-case letters and digits, words joined by "-", a letter first, at most ${LONGEST} characters)`,
  );
}

function suggestion(name: string): string | undefined {
  const guess = name
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, LONGEST)
    .replace(/-+$/, "");
  return NAME.test(guess) ? guess : undefined;
}

/** @param outrigger where npm gets this package from */
export function tokensOf(name: string, version: string, outrigger: string): Tokens {
  const words = name.split("-");
  return {
    NAME: name,
    SNAKE: words.join("_"),
    PASCAL: words.map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`).join(""),
    UPPER: words.join("_").toUpperCase(),
    VERSION: version,
    OUTRIGGER: outrigger,
  };
}

const TOKEN = /%%([A-Z]+)%%/g;

/** Every token replaced. @throws Error for one that there is not: the template is wrong */
export function fill(text: string, tokens: Tokens, where: string): string {
  return text.replaceAll(TOKEN, (token, name: string) => {
    if (Object.hasOwn(tokens, name)) return tokens[name as keyof Tokens];
    throw new Error(`${where} has the token ${token}: there are ${Object.keys(tokens).join(", ")}`);
  });
}
