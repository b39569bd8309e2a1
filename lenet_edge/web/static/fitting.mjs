// From grey levels to the pixels that a net was trained on: polarity, size, place. The same bytes as
// lenet_edge_runtime/fitting.py gives, whose comments say why; `fround` stands where NumPy computes in float32.

import { reduce, resize, smooth, toGrey } from "./image.mjs";

const { fround } = Math;
const BOX = 20 / 28; // of the input's side that MNIST's digits take up
const LONGEST = 1000; // pixels
const SMOOTHED = 3 * 28; // pixels
const INK = 0.3; // of the greatest contrast
const FAINTEST = 8; // grey levels

/**
 * RGBA (Uint8 [height * width * 4], not premultiplied) -> { pixels: Uint8Array [model.height * model.width], inverted }.
 * Throws RangeError for an image too narrow to be fitted.
 */
export function toPixels(rgba, width, height, model) {
  let grey = toGrey(rgba);
  const inverted = isInverted(grey, width, height, model.polarity);
  if (inverted) grey = grey.map((value) => 255 - value);
  if (width === model.width && height === model.height) return { pixels: grey, inverted };
  const fit = model.fit === "mnist" ? asMnist : pad;
  return { pixels: fit(grey, width, height, model), inverted };
}

/** Whether what differs most from the border is darker (or lighter) where the training images have it lighter (darker). */
export function isInverted(grey, width, height, polarity) {
  if (polarity === "any") return false;
  const background = median(border(grey, width, height));
  const [least, most] = grey.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [255, 0]);
  const [lighter, darker] = [most - background, background - least];
  return polarity === "light-on-dark" ? darker > lighter : lighter > darker;
}

/** Fit into the model's size by bars of the border's colour (ImageOps.pad). */
function pad(grey, width, height, model) {
  let [newWidth, newHeight] = [model.width, model.height];
  if (width * model.height > height * model.width) newHeight = roundHalfEven((height / width) * model.width);
  else newWidth = roundHalfEven((width / height) * model.height);
  if (newWidth < 1 || newHeight < 1) throw new RangeError(`an image of ${width} x ${height} pixels is too narrow`);
  const left = roundHalfEven((model.width - newWidth) / 2);
  const top = roundHalfEven((model.height - newHeight) / 2);
  const ground = Math.floor(median(border(grey, width, height)));
  return placed(resize(grey, width, height, newWidth, newHeight), newWidth, newHeight, left, top, model, ground);
}

/** Light ink on dark as MNIST has it: in a box of 20 of 28 pixels, placed by its centre of mass. */
function asMnist(original, originalWidth, originalHeight, model) {
  const factor = Math.max(1, Math.floor(Math.max(originalWidth, originalHeight) / LONGEST));
  const { grey, width, height } = reduce(original, originalWidth, originalHeight, factor);
  const isSmoothed = Math.min(width, height) >= SMOOTHED;
  const ink = inkOf(isSmoothed ? smooth(grey, width, height) : grey, width, height);
  const box = inkBox(ink, width);
  if (box === null) return new Uint8Array(model.width * model.height);
  const scale = BOX * Math.min(model.height / box.height, model.width / box.width);
  const newWidth = Math.max(1, roundHalfEven(scale * box.width));
  const newHeight = Math.max(1, roundHalfEven(scale * box.height));
  const digit = resize(cut(ink, width, box), box.width, box.height, newWidth, newHeight);
  const [columns, rows] = sums(digit, newWidth, newHeight);
  const place = (side, length, weights) =>
    Math.max(0, Math.min(side - length, roundHalfEven(side / 2 - centre(weights))));
  const left = place(model.width, newWidth, columns);
  const top = place(model.height, newHeight, rows);
  return placed(digit, newWidth, newHeight, left, top, model, 0);
}

/** How much ink there is, 0 to 1: 0 is the background with the noise of its border, 1 the strongest contrast. */
function inkOf(grey, width, height) {
  const edge = border(grey, width, height);
  const background = median(edge);
  const strongest = grey.reduce((a, b) => Math.max(a, b), 0) - background;
  if (strongest < FAINTEST) return new Float32Array(grey.length);
  const spread = percentile90(edge.map((value) => Math.abs(value - background)));
  const noise = Math.min(fround(spread / strongest), INK);
  const [low, range] = [fround(noise), fround(1 - noise)];
  return Float32Array.from(grey, (value) =>
    fround(Math.max(fround(Math.max(fround((value - background) / strongest), 0) - low), 0) / range),
  );
}

/** The box around what is more than faint; null where nothing is. */
function inkBox(ink, width) {
  const box = { left: Infinity, right: -1, top: Infinity, bottom: -1 };
  ink.forEach((value, i) => {
    if (value <= fround(INK)) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    Object.assign(box, { left: Math.min(box.left, x), right: Math.max(box.right, x) });
    Object.assign(box, { top: Math.min(box.top, y), bottom: Math.max(box.bottom, y) });
  });
  if (box.right < 0) return null;
  return { ...box, width: box.right - box.left + 1, height: box.bottom - box.top + 1 };
}

function cut(ink, width, box) {
  const out = new Uint8Array(box.width * box.height);
  for (let y = 0; y < box.height; y += 1) {
    for (let x = 0; x < box.width; x += 1) {
      out[y * box.width + x] = roundHalfEven(fround(ink[(box.top + y) * width + box.left + x] * 255));
    }
  }
  return out;
}

function placed(image, width, height, left, top, model, ground) {
  const pixels = new Uint8Array(model.width * model.height).fill(ground);
  for (let y = 0; y < height; y += 1) {
    pixels.set(image.subarray(y * width, (y + 1) * width), (top + y) * model.width + left);
  }
  return pixels;
}

/** Sums of the columns and of the rows. */
function sums(image, width, height) {
  const [columns, rows] = [new Array(width).fill(0), new Array(height).fill(0)];
  image.forEach((value, i) => {
    columns[i % width] += value;
    rows[Math.floor(i / width)] += value;
  });
  return [columns, rows];
}

function centre(weights) {
  const total = weights.reduce((a, b) => a + b);
  return weights.reduce((sum, weight, i) => sum + weight * i, 0) / total;
}

function border(grey, width, height) {
  const edge = [];
  for (let x = 0; x < width; x += 1) edge.push(grey[x], grey[(height - 1) * width + x]);
  for (let y = 0; y < height; y += 1) edge.push(grey[y * width], grey[y * width + width - 1]);
  return edge;
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
}

/** NumPy's percentile(values, 90), linear between its neighbours. */
function percentile90(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const position = fround(fround(0.9) * (sorted.length - 1));
  const [below, above] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]];
  const share = fround(position - Math.floor(position));
  const step = above - below;
  return share >= 0.5 ? fround(above - fround(step * fround(1 - share))) : fround(below + fround(step * share));
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
