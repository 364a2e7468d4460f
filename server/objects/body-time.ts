/** What each MiB of a body may take on its way, beside the request's own time. */
const MIB_MS = 2000;

/** For the time limit of a request that carries so much. */
export function bodyMs(bytes: number): number {
  return (bytes / 2 ** 20) * MIB_MS;
}
