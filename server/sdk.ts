/** Packages that only one driver needs: they are not installed with the others, and their absence is told in a sentence. */

/**
 * @param load imports the driver's own module that imports the packages: `() => import("./open.ts")`
 * @throws Error with what to install where a package is absent
 */
export async function withSdk<Module>(
  driver: string,
  packages: readonly string[],
  load: () => Promise<Module>,
): Promise<Module> {
  try {
    return await load();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const absent = packages.find((name) => message?.includes(`'${name}'`));
    if (code !== "ERR_MODULE_NOT_FOUND" || absent === undefined) throw error;
    throw new Error(
      `the ${driver} driver needs ${absent}, which is not installed: run npm install ${packages.join(" ")}, or in a clone npm ci --prefix drivers/${driver}`,
      { cause: error },
    );
  }
}
