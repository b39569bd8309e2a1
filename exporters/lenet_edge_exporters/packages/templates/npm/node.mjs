// The loader for Node, whose fetch reads no files: lenet.wasm is read from this package where no source is given.
import { readFile } from "node:fs/promises";
import { load as loadFrom } from "./lenet.mjs";

export { labels } from "./lenet.mjs";

export async function load(source) {
  return loadFrom(source ?? await readFile(new URL("lenet.wasm", import.meta.url)));
}
