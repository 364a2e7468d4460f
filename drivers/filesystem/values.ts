/**
 * Memory for values that stay. `Buffer.from` takes small ones from a pool that it shares with everything that lives for a
 * moment, and each of them then keeps 8 KiB of it (measured: 1.8 KB for a link of 71 bytes).
 */
const SLAB_BYTES = 64 * 1024;
/** Larger ones lie alone: a slab is let go of with the last value in it. */
const SMALL_BYTES = 2 * 1024;

let slab = Buffer.alloc(0);
let used = 0;

/** A copy that holds little more than itself. */
export function kept(value: Uint8Array): Buffer {
  if (value.byteLength > SMALL_BYTES) {
    const alone = Buffer.allocUnsafeSlow(value.byteLength);
    alone.set(value);
    return alone;
  }
  if (slab.byteLength - used < value.byteLength) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    used = 0;
  }
  const place = slab.subarray(used, used + value.byteLength);
  place.set(value);
  used += value.byteLength;
  return place;
}
