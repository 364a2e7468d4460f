/** Keys for tests of both stores: bad ones, odd ones, many. */

export interface BadKey {
  readonly key: string;
  /** What is wrong with it. */
  readonly why: string;
}

/** What must be refused (blob.key.01, meta.key.01). @param prefix ends with "/"; as many as can be lie below it, so that a driver that takes them is cleaned up after */
export function badKeys(prefix: string): readonly BadKey[] {
  return [
    { key: "", why: "empty" },
    { key: "/", why: "two empty components" },
    { key: ".", why: 'the component "."' },
    { key: "..", why: 'the component ".."' },
    { key: `/${prefix}lead`, why: "an empty first component" },
    { key: `${prefix}trail/`, why: "an empty last component" },
    { key: `${prefix}a//b`, why: "an empty component" },
    { key: `${prefix}./a`, why: 'a component "."' },
    { key: `${prefix}a/.`, why: 'a last component "."' },
    { key: `${prefix}a/../b`, why: 'a component ".."' },
    { key: `${prefix}a/..`, why: 'a last component ".."' },
    { key: `../${prefix}up`, why: 'a first component ".."' },
    { key: `${prefix}../../../../../../../../tmp/outrigger-kit`, why: "a way out of the store" },
    { key: `${prefix}a b`, why: "a space" },
    { key: `${prefix}a\0b`, why: "a NUL" },
    { key: `${prefix}a\nb`, why: "a line break" },
    { key: `${prefix}ab\n`, why: "a line break at its end" },
    { key: `${prefix}a\\b`, why: "a backslash" },
    { key: `${prefix}a\\..\\b`, why: "a way up with backslashes" },
    { key: `${prefix}a%2fb`, why: "a percent sign" },
    { key: `${prefix}a:b`, why: "a colon" },
    { key: `${prefix}a*b`, why: "an asterisk" },
    { key: `${prefix}a@b`, why: "an at sign" },
    { key: `${prefix}~a`, why: "a tilde" },
    { key: `${prefix}ä`, why: "a letter beyond ASCII" },
    { key: `${prefix}ａ`, why: "a full-width letter" },
    { key: `${prefix}a\u0301`, why: "a combining accent" },
    { key: `${prefix}\u{1f600}`, why: "a character beyond the basic plane" },
    { key: `${prefix}${"c".repeat(256)}`, why: "a component of 256" },
    { key: padded(prefix, 1025), why: "1025 bytes" },
    { key: padded(prefix, 5000), why: "5000 bytes" },
  ];
}

/** Right, though they look otherwise. */
export function edgeKeys(prefix: string): readonly string[] {
  return [
    `${prefix}...`,
    `${prefix}..a`,
    `${prefix}a..`,
    `${prefix}.a/.b`,
    `${prefix}-`,
    `${prefix}_`,
    `${prefix}-rf`,
    `${prefix}0`,
    `${prefix}CON`,
    `${prefix}${"c".repeat(255)}`,
    padded(prefix, 1024),
  ];
}

/** A key of so many bytes whose components are right. */
export function padded(prefix: string, bytes: number): string {
  let key = `${prefix}long`;
  while (key.length + 1 < bytes) key += `/${"p".repeat(Math.min(200, bytes - key.length - 1))}`;
  return key.length < bytes ? `${key}p` : key;
}

/** `count` names in an order that every collation has: "k0000", "k0001", … */
export function names(prefix: string, count: number, head = "k"): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${head}${String(index).padStart(4, "0")}`);
}
