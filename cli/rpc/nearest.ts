/** "Did you mean …?" */

/** Up to three of the names, nearest first, that `text` may be a slip of; several spellings may mean one name. */
export function nearest(
  text: string,
  spellings: readonly { readonly alias: string; readonly means: string }[],
): string[] {
  const wanted = text.toLowerCase();
  const best = new Map<string, number>();
  for (const { alias, means } of spellings) {
    const far = distance(wanted, alias.toLowerCase());
    if (far <= Math.max(1, Math.floor(Math.max(alias.length, wanted.length) / 3)))
      best.set(means, Math.min(far, best.get(means) ?? far));
  }
  return [...best]
    .sort(([, a], [, b]) => a - b)
    .slice(0, 3)
    .map(([name]) => name);
}

/** Levenshtein's: insertions, deletions and exchanges of one character. */
export function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let row = 1; row <= a.length; row += 1) {
    const here = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const exchanged = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      here.push(Math.min((above[column] ?? 0) + 1, (here[column - 1] ?? 0) + 1, exchanged));
    }
    above = here;
  }
  return above[b.length] ?? 0;
}
