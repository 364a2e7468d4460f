/** HTML from templates in which every value is escaped unless it is HTML already. */

/** Text that is HTML: made by `html` alone. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes; `undefined` and false are nothing, so that `condition && html…` reads well. */
export type Piece = Html | string | number | false | undefined | readonly Piece[];

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;",
};
// What no document may hold (HTML standard, 13.2.3.5); bidirectional overrides turn text around that others wrote.
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
const UNSHOWABLE = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]|[\ud800-\udfff]/gu;

/** Values stand between tags or within quoted attributes: nowhere else, and never in a script or a style. */
export function html(strings: TemplateStringsArray, ...values: readonly Piece[]): Html {
  let text = strings[0] ?? "";
  for (const [index, value] of values.entries()) text += show(value) + (strings[index + 1] ?? "");
  return new Html(text);
}

export function escapeHtml(text: string): string {
  return text.replace(UNSHOWABLE, "\ufffd").replace(/[&<>"'`]/g, (character) => ESCAPES[character] ?? "");
}

function show(value: Piece): string {
  if (value instanceof Html) return value.text;
  if (typeof value === "string") return escapeHtml(value);
  if (typeof value === "number") return String(value);
  if (Array.isArray(value)) return value.map(show).join("");
  return "";
}
