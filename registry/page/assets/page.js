/**
 * What the page does beyond links and forms: it searches while somebody types, fetches the next page instead of loading
 * it, copies, and shows an image's configuration. Without this file everything but the last two works.
 */

/** Between a key and the question, so that a word is one question and not five. */
const PAUSE_MS = 150;
/** Of an image's configuration; more is not worth a table. */
const MAX_CONFIG_BYTES = 1024 * 1024;

const search = document.getElementById("q");
const said = document.getElementById("said");
const main = () => document.getElementById("main");

/** Path and query of what main shows. */
let shown = location.pathname + location.search;

/** The question under way: the newest one wins, the older is given up. */
let asking = new AbortController();

const isOurs = (url) =>
  url.origin === location.origin &&
  (url.pathname === "/" || url.pathname === "/members" || url.pathname.startsWith("/r/"));

/** Address of what a form would load, without its empty fields. */
function addressOf(form) {
  const url = new URL(form.action);
  for (const [name, value] of new FormData(form)) if (value !== "") url.searchParams.set(name, value);
  return url;
}

/**
 * Shows what lies at an address. `how`: "push" is a step that the browser's back goes back from; "replace" is the same
 * place, seen again; "none" is a step back itself.
 */
async function show(url, how, { focus = false, scrollTo = 0 } = {}) {
  asking.abort();
  const mine = new AbortController();
  asking = mine;
  main().setAttribute("aria-busy", "true");
  try {
    const reply = await fetch(url, {
      signal: mine.signal,
      headers: { Accept: "text/html" },
      credentials: "same-origin",
    });
    const type = reply.headers.get("Content-Type") ?? "";
    // Asking for a password is the browser's business.
    if (reply.status === 401 || !type.startsWith("text/html")) throw new Error("not a page");
    const text = await reply.text();
    if (mine.signal.aborted) return;
    if (how === "push") remember();
    put(new DOMParser().parseFromString(text, "text/html"));
    if (how !== "none") {
      history[how === "push" ? "pushState" : "replaceState"]({ scroll: 0 }, "", url);
    }
    shown = location.pathname + location.search;
    if (document.activeElement !== search)
      search.value = new URL(url).pathname === "/" ? (new URL(url).searchParams.get("q") ?? "") : "";
    if (focus) main().focus({ preventScroll: true });
    if (how !== "replace") scrollToSoon(scrollTo);
    said.textContent =
      [...main().querySelectorAll("[data-say]")].map((each) => each.textContent).join(" ") || document.title;
  } catch {
    if (mine.signal.aborted) return;
    // Whatever it was: the browser shows it in its own way.
    location.assign(url);
  }
}

/** The parts of a page that differ from one to the next. */
function put(page) {
  document.title = page.title;
  for (const id of ["main", "nav"])
    document.getElementById(id).replaceWith(document.adoptNode(page.getElementById(id)));
  enliven();
}

function scrollToSoon(top) {
  requestAnimationFrame(() => scrollTo({ top, behavior: "instant" }));
}

function remember() {
  history.replaceState({ scroll: scrollY }, "");
}

/** What in a new main needs the script. */
function enliven() {
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
  for (const place of document.querySelectorAll("[data-config]")) offerConfig(place);
}

// Searching

let pause;
let hasTyped = false;

function searchNow() {
  clearTimeout(pause);
  const url = addressOf(search.form);
  // Filters stand on the list alone; a page number belongs to the search before.
  const isSame = location.pathname === "/" && new URLSearchParams(location.search).has("q");
  const how = hasTyped && isSame ? "replace" : "push";
  hasTyped = true;
  return show(url, how);
}

search.addEventListener("input", (event) => {
  clearTimeout(pause);
  if (event.isComposing) return;
  // An emptied field on another page is no wish to leave it.
  if (search.value.trim() === "" && location.pathname !== "/") return;
  pause = setTimeout(searchNow, PAUSE_MS);
});
search.addEventListener("compositionend", () => {
  clearTimeout(pause);
  pause = setTimeout(searchNow, PAUSE_MS);
});
search.addEventListener("blur", () => {
  hasTyped = false;
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!isOurs(new URL(form.action))) return;
  event.preventDefault();
  clearTimeout(pause);
  if (form === search.form) searchNow();
  else show(addressOf(form), "push");
});

document.addEventListener("change", (event) => {
  const { form } = event.target;
  if (form && event.target !== search && isOurs(new URL(form.action))) show(addressOf(form), "push");
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    search.focus();
    search.select();
  }
  if (event.key === "Escape" && event.target === search) {
    event.preventDefault();
    clearTimeout(pause);
    if (search.value === "") return search.blur();
    search.value = "";
    if (location.pathname === "/") searchNow();
  }
  // From the field to what it found, and through it.
  if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !event.target.closest("select")) walk(event);
});

function walk(event) {
  const found = [...document.querySelectorAll("tbody th a[href]")];
  const at = found.indexOf(document.activeElement);
  if (at < 0 && event.target !== search) return;
  const next = event.key === "ArrowDown" ? at + 1 : at - 1;
  const target = next < 0 ? search : found[next];
  if (target === undefined) return;
  event.preventDefault();
  target.focus();
}

// Going from page to page

document.addEventListener("click", (event) => {
  const copy = event.target.closest("button[data-copy]");
  if (copy) return copyFrom(copy);
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute("download") || "whole" in link.dataset) return;
  const url = new URL(link.href);
  if (!isOurs(url) || (url.hash !== "" && url.pathname === location.pathname)) return;
  event.preventDefault();
  show(url, "push", { focus: true });
});

history.scrollRestoration = "manual";
addEventListener("popstate", (event) => {
  // A step to another place of the same page.
  if (location.pathname + location.search === shown) return;
  show(location.href, "none", { scrollTo: event.state?.scroll ?? 0 });
});
addEventListener("pagehide", remember);

// Copying

async function copyFrom(button) {
  const text = button.dataset.copy;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS there is no clipboard to write to: the old way, which needs a selection.
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    done = document.execCommand("copy");
  }
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  said.textContent = button.textContent;
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
}

// An image's configuration

function offerConfig(place) {
  if (place.firstChild) return;
  const details = element("details", {}, element("summary", {}, "Configuration and labels"));
  details.addEventListener(
    "toggle",
    () => details.open && details.childElementCount === 1 && loadConfig(place, details),
  );
  place.append(details);
}

async function loadConfig(place, details) {
  const body = element("div", {}, "Loading …");
  details.append(body);
  try {
    const reply = await fetch(place.dataset.config, { credentials: "same-origin" });
    if (!reply.ok) throw new Error(`the registry answered ${reply.status}`);
    if (Number(reply.headers.get("Content-Length")) > MAX_CONFIG_BYTES) throw new Error("it is too large to show");
    body.replaceChildren(factsOf(JSON.parse(await reply.text())));
  } catch (error) {
    body.replaceChildren(`It cannot be shown here (${error.message}): download it by its link above.`);
  }
}

/** OCI image-spec, config: what whoever runs the image wants to know. */
function factsOf(image) {
  const config = image?.config ?? {};
  const words = (value) => (Array.isArray(value) ? value.map((word) => JSON.stringify(word)).join(" ") : value);
  const facts = [
    ["Entrypoint", words(config.Entrypoint)],
    ["Command", words(config.Cmd)],
    ["Working directory", config.WorkingDir],
    ["User", config.User],
    ["Ports", Object.keys(config.ExposedPorts ?? {}).join(", ")],
    ["Volumes", Object.keys(config.Volumes ?? {}).join(", ")],
    ["Stop signal", config.StopSignal],
    ["Author", image?.author],
    ["Environment", Array.isArray(config.Env) ? config.Env.join("\n") : undefined],
    ...Object.entries(config.Labels ?? {}),
  ];
  const list = element("dl", { className: "facts wide" });
  for (const [name, value] of facts) {
    if (typeof value !== "string" || value === "") continue;
    list.append(element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  }
  return list.childElementCount > 0 ? list : document.createTextNode("It says nothing of how to run the image.");
}

/** Text stays text: nothing here becomes HTML. */
function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

document.documentElement.classList.add("scripted");
enliven();
