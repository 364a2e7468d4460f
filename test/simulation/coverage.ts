/** How often each fault happened and each rule was looked at, over all schedules of a run. */
export class Coverage {
  readonly counts = new Map<string, number>();

  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }

  of(what: string): number {
    return this.counts.get(what) ?? 0;
  }

  add(other: Iterable<readonly [string, number]>): void {
    for (const [what, times] of other) this.count(what, times);
  }

  /** A table of everything counted, by name. */
  table(): string {
    const rows = [...this.counts].sort(([a], [b]) => (a < b ? -1 : 1));
    const width = Math.max(0, ...rows.map(([what]) => what.length));
    return rows.map(([what, times]) => `${what.padEnd(width)}  ${String(times).padStart(12)}`).join("\n");
  }
}
