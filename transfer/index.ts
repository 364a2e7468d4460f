/** Copying, comparing and verifying pairs of stores. */
export { DEFAULT_JOBS, type Problem, Problems, type TransferOptions } from "./contract.ts";
export { BlobCopier, type BlobOutcome, isSame } from "./copy-blob.ts";
export { BlobsCopy, type CopyBlobsOptions, copyBlobs, withPlan } from "./copy-blobs.ts";
export { type CopyPairOptions, copyPair } from "./copy-pair.ts";
export { type DiffItem, type DiffOptions, type DiffReport, diffPairs } from "./diff.ts";
export { CopyRefused, TargetFull } from "./faults.ts";
export { heedDeletes } from "./heed-deletes.ts";
export { StoreAway } from "./patience.ts";
export { Rate } from "./rate.ts";
export { type LinkKind, linkKinds, Tally } from "./tally.ts";
export { TurnTaken } from "./turn.ts";
export { type VerifyOptions, type VerifyReport, verifyPair } from "./verify.ts";
export type { BytesState } from "./verify-bytes.ts";
