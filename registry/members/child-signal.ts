/** Signals within a request. `AbortSignal.any` does the same, and takes as long as all else of a small request. */

/** Aborts with `parent`, which is one request's and ends with it, or by itself. */
export function childOf(parent: AbortSignal): AbortController {
  const child = new AbortController();
  if (parent.aborted) child.abort(parent.reason);
  else parent.addEventListener("abort", () => child.abort(parent.reason), { once: true });
  return child;
}
