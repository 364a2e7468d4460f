/** Which versions this release speaks, as core and as driver host. */
export interface ApiVersion {
  readonly major: number;
  readonly minor: number;
}

export type ApiName = "outrigger.blob" | "outrigger.meta" | "outrigger.scan";

export const spoken: Readonly<Record<ApiName, readonly ApiVersion[]>> = {
  "outrigger.blob": [{ major: 1, minor: 0 }],
  "outrigger.meta": [{ major: 1, minor: 0 }],
  "outrigger.scan": [{ major: 1, minor: 0 }],
};
