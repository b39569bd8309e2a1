// Classify an image, 28 x 28 grey levels, light on dark, as binary PGM: node embed.mjs MODEL.onnx digit.pgm
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web"; // or onnxruntime-node; npm install onnxruntime-web@1.30.0

const [model, image] = await Promise.all(process.argv.slice(2).map((path) => readFile(path)));
const session = await ort.InferenceSession.create(model);
const pixels = new ort.Tensor("uint8", Uint8Array.from(image.subarray(-28 * 28)), [1, 1, 28, 28]); // without the header
const { logits, probabilities } = await session.run({ pixels });
const highest = Math.max(...probabilities.data);
console.log("class", probabilities.data.indexOf(highest), "probability", highest);
console.log("logits", ...Array.from(logits.data, (value) => value.toPrecision(9)));
