// onnxruntime-web from the page's own folder.

import * as ort from "{{address}}ort.wasm.bundle.min.mjs";

ort.env.wasm.wasmPaths = { wasm: new URL("{{address}}ort-wasm-simd-threaded.wasm", import.meta.url).href };
export { ort };
