// Loads lenet.wasm. `source`: its URL (beside this file by default) or its bytes.
// predict: Uint8Array, n images of @PIXELS@ pixels, to Float32Array, n * @CLASSES@ logits.
export const labels = @LABELS_JSON@;

export async function load(source = new URL("lenet.wasm", import.meta.url)) {
  const bytes = source instanceof ArrayBuffer || ArrayBuffer.isView(source)
    ? source
    : await (await fetch(source)).arrayBuffer();
  const { memory, memory_of_pixels, predict } = (await WebAssembly.instantiate(bytes)).instance.exports;
  const input = new Uint8Array(memory.buffer, memory_of_pixels(), @PIXELS@);
  return {
    predict(pixels) {
      const logits = new Float32Array(pixels.length / @PIXELS@ * @CLASSES@);
      for (let i = 0; i * @PIXELS@ < pixels.length; i++) {
        input.set(pixels.subarray(i * @PIXELS@, (i + 1) * @PIXELS@));
        logits.set(new Float32Array(memory.buffer, predict(), @CLASSES@), i * @CLASSES@);
      }
      return logits;
    },
  };
}
