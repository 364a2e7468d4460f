/** The object with some of its members exchanged; private members stay the original's. */
export function delegate<Target extends object>(
  target: Target,
  changed: Partial<Record<keyof Target, unknown>>,
): Target {
  return new Proxy(target, {
    get(original, name) {
      if (Object.hasOwn(changed, name)) return Reflect.get(changed, name);
      const value: unknown = Reflect.get(original, name, original);
      return typeof value === "function" ? value.bind(original) : value;
    },
  });
}
