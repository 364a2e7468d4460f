/** Where a driver and a model part, and under which rule that is counted. */

export class Difference extends Error {
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(message);
    this.name = "Difference";
    this.rule = rule;
  }
}

/** Nothing shows a difference of this rule: one of another rule ends the sequence, and that rule's tests tell it. */
export async function ofRule(rule: string, run: Promise<void>): Promise<void> {
  try {
    await run;
  } catch (error) {
    if (error instanceof Difference && error.rule !== rule) return;
    throw error;
  }
}
