/** What one document may cost other members, and this one for their answers. */
import { MAX_COST } from "../asking.ts";
import { QueryError } from "../errors.ts";
import { MAX_ITEMS } from "../page.ts";

/** Queries of a document that are asked of members at once. */
const AT_ONCE = 8;
/** Of all answers to a document together: they are held until it is answered. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Each member answers every query by itself: that a document costs it no more than it would here is kept here. */
export class Account {
  #left = MAX_COST;
  #held = 0;
  #underWay = 0;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  /**
   * Before members are asked for so many items. What they may cost is held until it is known what they did cost: it is far
   * less where there are fewer. What is too large to be held beside another waits until it is alone.
   * @returns settles it; called once, whatever came of it @throws QueryError: nothing is left
   */
  async hold(items: number, valuesPerItem: number): Promise<(itemsAnswered: number) => void> {
    const held = Math.min(items, MAX_ITEMS) * valuesPerItem;
    while (this.#underWay > 0 && (this.#underWay >= AT_ONCE || this.#held + held > this.#left)) await this.#turn();
    this.assertLeft();
    this.#underWay += 1;
    this.#held += held;
    return (itemsAnswered) => {
      this.#underWay -= 1;
      this.#held -= held;
      this.#left -= itemsAnswered * valuesPerItem;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const wake of waiting) wake();
    };
  }

  /** @throws QueryError, in the words of one registry */
  assertLeft(): void {
    if (this.#left >= 0) return;
    throw new QueryError(
      `the answer would have about ${MAX_COST - this.#left} values, and ${MAX_COST} are allowed: ask for fewer items (requestedPage.limit) or fewer fields`,
    );
  }

  /** So much of a member's answer has come. @throws Error that says what is too large */
  took(sizeBytes: number): void {
    this.#bytes += sizeBytes;
    if (this.#bytes > MAX_ANSWER_BYTES) {
      throw new Error(
        `the members' answers to this document have more than ${MAX_ANSWER_BYTES} bytes: ask for fewer items (requestedPage.limit) or fewer fields`,
      );
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
