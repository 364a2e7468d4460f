/** What a page cannot show, told to whoever reads it. */
import { toRegistryError } from "../http/errors.ts";

export class PageProblem extends Error {
  readonly status: number;
  /** Short: the page's heading. */
  readonly title: string;

  /** @param message in one sentence: what was wrong, and what would be right */
  constructor(status: number, title: string, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = "PageProblem";
    this.status = status;
    this.title = title;
  }
}

export function toPageProblem(error: unknown): PageProblem {
  if (error instanceof PageProblem) return error;
  const { status, message } = toRegistryError(error);
  const title =
    status >= 500 ? (status === 500 ? "A fault of the registry" : "Not to be had now") : "That did not work";
  return new PageProblem(status, title, sentence(message), { cause: error });
}

/** As a sentence of its own. */
export function sentence(message: string): string {
  const text = message.trim();
  const ended = /[.!?…]$/.test(text) ? text : `${text}.`;
  return ended.slice(0, 1).toUpperCase() + ended.slice(1);
}
