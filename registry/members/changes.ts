/** Changes under way, by the list of members under which they began: also before there was any. */
export class Changes {
  #now = { count: 0 };
  #before: { count: number }[] = [];

  /** Call what it gives back once the change has ended, however. */
  begin(): () => void {
    const list = this.#now;
    list.count += 1;
    return () => {
      list.count -= 1;
    };
  }

  /** From now on another list holds. */
  next(): void {
    this.#before.push(this.#now);
    this.#now = { count: 0 };
  }

  /** Whether nothing that began under a list before is under way any more. */
  get areSettled(): boolean {
    this.#before = this.#before.filter(({ count }) => count > 0);
    return this.#before.length === 0;
  }
}
