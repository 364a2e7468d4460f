/** The filesystem driver: both stores on one root, in the layout of distribution. See README.md. */
import { defineDriver } from "../../server/contract.ts";
import { initFilesystem, openFilesystemDriver } from "./open.ts";
import { type FilesystemOptions, optionSpecs } from "./options.ts";

export type { Disk, DiskFile, DiskLock, Entry, FileFacts, OpenMode, SurveyedEntry } from "./disk.ts";
export { type FilesystemDeps, type FilesystemSettings, initFilesystem, openFilesystemDriver } from "./open.ts";

export const driverModule = defineDriver({
  name: "filesystem",
  summary: "blobs and metadata in a folder, in the layout of distribution (registry:2, registry:3)",
  options: optionSpecs,
  init: (options, { log, clock, lockWaitMs, signal }) =>
    initFilesystem({ root: options.root }, { log, clock, lockWaitMs, signal }),
  open: (options, { log, clock, lockWaitMs, signal }) =>
    openFilesystemDriver(settingsOf(options), { log, clock, lockWaitMs, signal }),
});

function settingsOf(options: FilesystemOptions) {
  return { root: options.root, persistStepBytes: options.persistStep, uploadTtlMs: options.uploadTtl };
}
