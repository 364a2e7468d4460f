/** Every subcommand: its name and summary for the help, its file for the rest. Files are loaded only when they are run. */
import type { Command } from "commander";

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Gives the command its arguments, options and action. */
  load(): Promise<{ define(command: Command): void }>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: "up",
    summary: "run a registry and its filesystem driver on this machine",
    load: () => import("./commands/up.ts"),
  },
  { name: "driver", summary: "serve a storage driver at an address", load: () => import("./commands/driver.ts") },
  {
    name: "registry",
    summary: "serve a registry whose stores lie behind addresses",
    load: () => import("./commands/registry.ts"),
  },
  { name: "describe", summary: "show what a driver is and can do", load: () => import("./commands/describe.ts") },
  {
    name: "doctor",
    summary: "test a pair of drivers and say what to change",
    load: () => import("./commands/doctor.ts"),
  },
  {
    name: "conformance",
    summary: "prove from outside that a driver keeps the contract",
    load: () => import("./commands/conformance.ts"),
  },
  { name: "call", summary: "make any call to a driver by hand", load: () => import("./commands/call.ts") },
  {
    name: "tap",
    summary: "show, record and replay the calls between a registry and its driver",
    load: () => import("./commands/tap.ts"),
  },
  { name: "config", summary: "check or print a registry's configuration", load: () => import("./commands/config.ts") },
  {
    name: "index",
    summary: "rebuild or verify what is derived from the stored facts",
    load: () => import("./commands/index-keys.ts"),
  },
  {
    name: "cluster",
    summary: "tell how the members of a cluster of registries are, and what has still to move",
    load: () => import("./commands/cluster.ts"),
  },
  {
    name: "copy",
    summary: "copy a pair of stores to another: a backup, or the first part of a move",
    load: () => import("./commands/copy.ts"),
  },
  {
    name: "diff",
    summary: "tell what two pairs of stores do not have in common",
    load: () => import("./commands/diff.ts"),
  },
  {
    name: "verify",
    summary: "read every byte of a pair of stores again and tell what is damaged or missing",
    load: () => import("./commands/verify.ts"),
  },
  { name: "health", summary: "ask whether a registry or driver is alive", load: () => import("./commands/health.ts") },
  { name: "new", summary: "begin a driver of your own", load: () => import("./commands/new.ts") },
  { name: "proto", summary: "export the contract for driver authors", load: () => import("./commands/proto.ts") },
  { name: "version", summary: "print the version", load: () => import("./commands/version.ts") },
];
