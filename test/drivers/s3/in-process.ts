/** The store and the driver in the test's own process: what a fault does to one request is seen without gRPC between. */
import assert from "node:assert/strict";
import { pino } from "pino";
import { optionSpecs, type S3Options } from "../../../drivers/s3/options.ts";
import type { Abilities } from "../../../drivers/s3/store.ts";
import { type Clock, systemClock } from "../../../proto/clock.ts";
import { hasReason, type OutriggerError, type Reason } from "../../../proto/errors.ts";
import type { OpenContext } from "../../../server/contract.ts";
import type { ObjectStore, RequestHow } from "../../../server/objects/contract.ts";
import type { ObjectBlobDriver } from "../../../server/objects/driver.ts";
import { readOptions } from "../../../server/option-values.ts";
import type { HttpAnswer } from "../../helpers/http-faults.ts";
import type { Scope } from "../../helpers/processes.ts";
import { accessKey, secretKey } from "../../helpers/s3-server.ts";

/** The driver's own process would have them from its environment. */
export function useCredentials(key = accessKey, secret = secretKey): void {
  process.env["AWS_ACCESS_KEY_ID"] = key;
  process.env["AWS_SECRET_ACCESS_KEY"] = secret;
}

export const signal = () => AbortSignal.timeout(60_000);
export const how = (): RequestHow => ({ signal: signal(), assertInTime() {} });

export function optionsOf(bucket: string, endpoint: string, flags: readonly string[] = []): S3Options {
  return readOptions(optionSpecs, ["--bucket", bucket, "--endpoint", endpoint, ...flags], {}) as S3Options;
}

/** What versitygw 1.8.0 does, as probe.ts finds it. */
const abilitiesOfVersitygw: Abilities = { copyCompares: false, deleteCompares: true };

export async function storeOf(
  bucket: string,
  endpoint: string,
  flags: readonly string[] = [],
  abilities = abilitiesOfVersitygw,
): Promise<ObjectStore> {
  const [{ createClients }, { createS3Store }] = await Promise.all([
    import("../../../drivers/s3/client.ts"),
    import("../../../drivers/s3/store.ts"),
  ]);
  const options = optionsOf(bucket, endpoint, ["--request-timeout", "2s", ...flags]);
  return createS3Store(createClients(options), {
    bucket,
    requestTimeoutMs: options.requestTimeout,
    abilities,
    signs: true,
  });
}

export function contextOf(logged: string[] = [], clock: Clock = systemClock): OpenContext {
  const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
  return { log, clock, readOnly: false, lockWaitMs: 0, signal: new AbortController().signal };
}

export interface Opened {
  readonly blob: ObjectBlobDriver;
  readonly notices: readonly string[];
}

/** Initialised, then opened as the program would. */
export async function open(scope: Scope, options: S3Options, context: OpenContext = contextOf()): Promise<Opened> {
  const { initS3 } = await import("../../../drivers/s3/open.ts");
  await initS3(options, context);
  return openAgain(scope, options, context);
}

export async function openAgain(scope: Scope, options: S3Options, context: OpenContext = contextOf()): Promise<Opened> {
  const { openS3Driver } = await import("../../../drivers/s3/open.ts");
  const driver = await openS3Driver(options, context);
  scope.defer(() => driver.close());
  assert.ok(driver.blob !== undefined && "sweep" in driver.blob);
  return { blob: driver.blob as ObjectBlobDriver, notices: driver.notices ?? [] };
}

/** As S3 says no. */
export function refusal(
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
  message = "no",
): HttpAnswer {
  return {
    status,
    headers: { "content-type": "application/xml", "x-amz-request-id": "of-the-test", ...headers },
    body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
  };
}

/** @returns the error, for what else it must say */
export async function failing(promise: Promise<unknown>, reason: Reason): Promise<OutriggerError> {
  try {
    await promise;
  } catch (error) {
    if (hasReason(error, reason)) return error;
    throw error;
  }
  throw new Error(`${reason} was due`);
}
