/** Bytes of an answer into a file that is there whole or not at all. */
import { type FileHandle, open, rename, rm } from "node:fs/promises";

export class OutFile {
  readonly path: string;
  readonly #staged: string;
  readonly #file: FileHandle;
  sizeBytes = 0;

  private constructor(path: string, staged: string, file: FileHandle) {
    this.path = path;
    this.#staged = staged;
    this.#file = file;
  }

  static async open(path: string): Promise<OutFile> {
    const staged = `${path}.${process.pid}.part`;
    return new OutFile(path, staged, await open(staged, "w"));
  }

  async write(data: Uint8Array): Promise<void> {
    await this.#file.writeFile(data);
    this.sizeBytes += data.length;
  }

  async finish(): Promise<void> {
    await this.#file.close();
    await rename(this.#staged, this.path);
  }

  async discard(): Promise<void> {
    await this.#file.close();
    await rm(this.#staged, { force: true });
  }
}
