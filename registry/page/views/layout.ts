/** What is around every page: head, search, navigation, foot. */
import { type Html, html, type Piece } from "../html.ts";
import { withQuery } from "../routes.ts";

/** The form that the search and a list's filters belong to, wherever they stand. */
export const SEARCH_FORM = "search";

export interface Frame {
  /** "": nobody is logged in. */
  readonly account: string;
  /** Whether somebody who is not logged in could log in. */
  readonly mayLogIn: boolean;
  readonly version: string | undefined;
  /** Addresses of the files, by their name. */
  readonly asset: (file: "style.css" | "page.js" | "icon.svg") => string;
  /** Path and query of the page itself. */
  readonly here: string;
}

export interface PageContent {
  /** Plain text: the document's, and of the tab. */
  readonly title: string;
  /** Of the navigation; absent: none of them. */
  readonly section?: "repositories" | "members";
  /** Shown in the search field. */
  readonly query?: string;
  readonly main: Piece;
}

export function layout(frame: Frame, content: PageContent): Html {
  const { asset, version } = frame;
  const link = (section: PageContent["section"], path: string, words: string) =>
    html`<li><a href="${path}"${content.section === section && html` aria-current="page"`}>${words}</a></li>`;
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${content.title} · Outrigger</title>
<link rel="icon" href="${asset("icon.svg")}" type="image/svg+xml">
<link rel="stylesheet" href="${asset("style.css")}">
<script type="module" src="${asset("page.js")}"></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<a class="brand" href="/"><img src="${asset("icon.svg")}" alt="" width="24" height="24">Outrigger</a>
<form id="${SEARCH_FORM}" action="/" role="search">
<label class="hidden" for="q">Search for repositories, repo:tag, :tag or a digest</label>
<input id="q" name="q" type="search" value="${content.query ?? ""}" maxlength="256" placeholder="Search: name, name:tag, :tag, sha256:…" autocomplete="off" autocapitalize="none" spellcheck="false" aria-keyshortcuts="/">
<button type="submit">Search</button>
</form>
<nav id="nav" aria-label="Outrigger"><ul>${link("repositories", "/", "Repositories")}${link("members", "/members", "Members")}${who(frame)}</ul></nav>
</header>
<main id="main" tabindex="-1">
${content.main}
</main>
<p id="said" class="hidden" role="status"></p>
<footer>Outrigger${version !== undefined && ` ${version}`} · the registry’s API is at <code>/v2/</code></footer>
</body>
</html>
`;
}

function who({ account, mayLogIn, here }: Frame): Piece {
  if (account !== "") return html`<li class="who" title="logged in as ${account}">${account}</li>`;
  return mayLogIn && html`<li><a href="${withQuery("/login", { to: here })}" data-whole>Log in</a></li>`;
}
