/** How well a repository's name fits a search: zot's ranks, so that its page shows the same order. */

const LOW = 100;
const MEDIUM = 10;

/**
 * 0: the very name; small: early in its last component; then its first one; then as a whole somewhere. `undefined`: no fit.
 * @param search in lower case, without slashes at its ends
 */
export function rankOf(name: string, search: string): number | undefined {
  if (search === "") return 1;
  const lastSearched = search.slice(search.lastIndexOf("/") + 1);
  if (!name.includes(lastSearched)) return undefined;
  if (name === search) return 0;
  const searched = search.split("/");
  const parts = name.split("/");
  if (searched.length > parts.length) return undefined;
  const last = parts.at(-1) ?? "";
  if (searched.length === 1) {
    const inLast = last.indexOf(search);
    if (inLast >= 0) return inLast + 1;
    const inFirst = (parts[0] ?? "").indexOf(search);
    if (inFirst >= 0) return (inFirst + 1) * MEDIUM;
  }
  if (searched.slice(0, -1).every((part, index) => part === parts[index])) {
    const inLast = last.indexOf(lastSearched);
    if (inLast >= 0) return inLast + 1;
  }
  if (name.startsWith(search)) return MEDIUM;
  const anywhere = name.indexOf(search);
  return anywhere < 0 ? undefined : (anywhere + 1) * LOW;
}
