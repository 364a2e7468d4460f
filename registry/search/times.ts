/** Moments as answers show them: RFC 3339, without zeros at a fraction's end (as Go's RFC3339Nano, which zot writes). */

const RFC3339 =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** `undefined`: absent, not RFC 3339, or the year 1, with which Go says "never". */
export function showTime(text: string | undefined): string | undefined {
  const [, moment, fraction = "", zone] = RFC3339.exec(text ?? "") ?? [];
  if (moment === undefined || zone === undefined || moment.startsWith("0001-")) return undefined;
  // A day that its month does not have is one of the next.
  if (!new Date(`${moment}Z`).toISOString().startsWith(moment)) return undefined;
  const digits = fraction.replace(/\.?0+$/, "");
  return `${moment}${digits}${/^[+-]00:00$/.test(zone) ? "Z" : zone}`;
}

/** @param ms unix; 0: not known */
export function showMs(ms: number): string | undefined {
  return ms === 0 ? undefined : showTime(new Date(ms).toISOString());
}

/** Unix ms; 0: not known. @param text of showTime */
export function msOf(text: string | undefined): number {
  return text === undefined ? 0 : Date.parse(text);
}
