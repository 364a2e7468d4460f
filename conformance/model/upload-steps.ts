/** What the uploads' model does: steps, how often each comes, and what is simpler than it. */
import type { Random } from "../random.ts";

export type UploadStep =
  /** `late`: with the attempt that the upload has seen already of its last sender. */
  | {
      readonly do: "open";
      readonly stream: number;
      readonly upload: number;
      readonly how: "create" | "known" | "late";
      /** The key it says it is for. */
      readonly hint: string;
    }
  /** `from` counts from what was received; null: no offset. */
  | { readonly do: "chunk"; readonly stream: number; readonly from: number | null; readonly bytes: number }
  | { readonly do: "flush" | "half-close" | "cancel"; readonly stream: number }
  | {
      readonly do: "commit";
      readonly stream: number;
      readonly key: string;
      /** "held": of what the key holds already. */
      readonly digest: "right" | "wrong" | "held" | "none";
      readonly size: "right" | "wrong" | "none";
      readonly ifAbsent: boolean;
    }
  | { readonly do: "abort" | "look"; readonly upload: number };

const STREAMS = [0, 0, 0, 1, 2] as const;
export const UPLOADS = [0, 0, 0, 1] as const;
export const KEYS = ["a", "b"] as const;

export function uploadStep(random: Random): UploadStep {
  const stream = random.pick(STREAMS);
  const upload = random.pick(UPLOADS);
  const kind = random.next() * 100;
  if (kind < 30) {
    const how = random.pick(["create", "create", "create", "known", "late"] as const);
    return { do: "open", stream, upload, how, hint: random.pick(["", ...KEYS]) };
  }
  if (kind < 58) {
    const from = random.pick([0, 0, 0, 0, 0, -1, -700, -5000, 1, null]);
    return { do: "chunk", stream, from, bytes: random.pick([1, 100, 1000, 30_000, 200_000]) };
  }
  if (kind < 68) return { do: "flush", stream };
  if (kind < 73) return { do: "half-close", stream };
  if (kind < 78) return { do: "cancel", stream };
  if (kind < 93) {
    const digest = random.pick(["right", "right", "right", "none", "wrong", "held"] as const);
    const size = random.pick(["right", "none", "none", "none", "wrong"] as const);
    return { do: "commit", stream, key: random.pick(KEYS), digest, size, ifAbsent: random.next() < 0.4 };
  }
  return { do: random.pick(["look", "look", "abort"] as const), upload };
}

export function* simplerUpload(step: UploadStep): Iterable<UploadStep> {
  if ("stream" in step && step.stream !== 0) yield { ...step, stream: 0 };
  if (step.do === "open" && step.how !== "create") yield { ...step, how: "create" };
  if (step.do === "open" && step.hint !== "") yield { ...step, hint: "" };
  if (step.do === "chunk") {
    if (step.bytes > 1) yield { ...step, bytes: 1 };
    if (step.bytes > 100) yield { ...step, bytes: 100 };
    if (step.from !== 0) yield { ...step, from: 0 };
  }
  if (step.do === "commit") {
    if (step.digest !== "right") yield { ...step, digest: "right" };
    if (step.size !== "none") yield { ...step, size: "none" };
    if (step.ifAbsent) yield { ...step, ifAbsent: false };
  }
}
