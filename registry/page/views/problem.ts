/** What could not be shown, and the way on. */
import { html } from "../html.ts";
import type { PageProblem } from "../problem.ts";
import type { PageContent } from "./layout.ts";

export function problemPage(problem: PageProblem, query?: string): PageContent {
  const { status, title, message } = problem;
  return {
    title,
    ...(query === undefined ? {} : { query }),
    main: html`<div class="title"><h1>${title}</h1><p class="total">${status}</p></div>
<p class="lead" data-say>${message}</p>
${status === 401 ? html`<p>Load this page again to be asked for a name and a password.</p>` : html`<p><a href="/">All repositories</a> · <a href="/members">members and their stores</a></p>`}`,
  };
}
