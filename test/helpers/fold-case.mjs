// Loaded by `node --import` into a driver's process: below OUTRIGGER_TEST_FOLDS, "a" and "A" are one name, as on the disks
// of macOS and Windows. Linux has such a disk only where its kernel was built for it.
import fs from "node:fs";

const root = process.env.OUTRIGGER_TEST_FOLDS;
const folded = (path) =>
  typeof path === "string" && path.startsWith(`${root}/`) ? root + path.slice(root.length).toLowerCase() : path;

for (const name of Object.keys(fs)) {
  const call = fs[name];
  if (typeof call !== "function" || /^[A-Z_]/.test(name)) continue;
  fs[name] = (...args) => call.apply(fs, args.map(folded));
}
