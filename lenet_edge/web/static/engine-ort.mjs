// The engine of this page, onnxruntime-web: a module with `async load(source)`, where source is the file's bytes or its
// address, that gives { predict }. predict takes pixels, Uint8Array [n * height * width], and gives (a promise of) the
// logits, Float32Array [n * classes]. Any module with this interface can stand in its place.

import { ort } from "./onnxruntime.mjs";

ort.env.wasm.numThreads = 1; // threads need headers that plain file servers do not send, and gain nothing on such a net

export async function load(source) {
  const bytes = source instanceof Uint8Array ? source : new Uint8Array(await (await fetch(source)).arrayBuffer());
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  const [input] = session.inputMetadata;
  const [, ...image] = input.shape;
  const size = image.reduce((a, b) => a * b);
  return {
    async predict(pixels) {
      const tensor = new ort.Tensor("uint8", pixels, [pixels.length / size, ...image]);
      const { logits } = await session.run({ [input.name]: tensor }, ["logits"]);
      return logits.data;
    },
  };
}
