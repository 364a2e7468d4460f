/** What the doctor has to say: facts, and problems with what to change. */

export type Level = "ok" | "note" | "problem";

export interface Finding {
  readonly level: Level;
  /** What was looked at, and what was seen. */
  readonly text: string;
  /** What to change; every problem has it. */
  readonly advice?: string;
}

export function ok(text: string): Finding {
  return { level: "ok", text };
}

/** Works, but could be better. */
export function note(text: string, advice?: string): Finding {
  return { level: "note", text, ...(advice === undefined ? {} : { advice }) };
}

export function problem(text: string, advice: string): Finding {
  return { level: "problem", text, advice };
}
