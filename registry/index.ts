/** `startRegistry`: a registry core from a checked configuration. */
import { connect } from "../client/index.ts";
import type { Config } from "./config.ts";
import { createRepositories } from "./repository/index.ts";
import { type RunningRegistry, type StartOptions, startWith } from "./running.ts";

export { type Config, ConfigError, type ConfigSources, checkConfig, loadConfig } from "./config.ts";
export type { ReloadReport, RunningRegistry, StartOptions } from "./running.ts";

/**
 * Listens at once and serves as soon as the stores are there (`ready`).
 * @throws Error, in one sentence, for whatever keeps it from starting
 */
export function startRegistry(config: Config, options: StartOptions): Promise<RunningRegistry> {
  return startWith({ connect, createRepositories }, config, options);
}
