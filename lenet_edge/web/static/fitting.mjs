// From grey levels to the pixels that the net was trained on: polarity, size, place. The same bytes as
// lenet_edge_runtime/fitting.py gives, which has the reasons. An image is { grey: Uint8Array, width, height }.

import { evened, isDarkOnLight, isUneven, median, range, withoutRim, withoutStrips } from "./paper.mjs";
import { boxBlur, expand, maxFilter, reduce, resize, roundHalfEven } from "./pillow.mjs";

const BOX = 20 / 28; // of the input's side that MNIST's digits take up
const LONGEST = 1000; // pixels; larger images are reduced
const SMOOTHED = 3 * 28; // pixels; from here on, 3 x 3 pixels are averaged
const PHOTO = 2 * 28; // pixels; from here on, light may be uneven
const INK = 0.3; // of the greatest contrast: what is fainter does not stretch the box
const FULL = 250; // grey levels: the brightest pixel of each of MNIST's digits is above
const OFF_CENTRE = 0.55; // pixels: theirs are at most 0.52 from the centre
const FINE = 4; // times the final size at which thin strokes are widened
const PEN = 2; // pixels, the least width of strokes
const FAINTEST = 8; // grey levels of contrast below which there is no ink
const float32 = Math.fround; // NumPy's ink is float32: each operation is rounded to it

/**
 * image -> { pixels: Uint8Array [model.height * model.width], inverted }, fitted as `model.fit` says: "mnist" or
 * "resize". What is as it has to be already is left so. Throws RangeError where an image is too narrow for "resize".
 */
export function fitImage(image, model) {
  const page = model.fit === "mnist" ? pageOf(image) : image;
  const inverted = isInverted(page, model);
  const fitted = inverted ? { ...page, grey: page.grey.map((value) => 255 - value) } : page;
  const hasSize = page.width === model.width && page.height === model.height;
  if (hasSize && (model.fit !== "mnist" || isAsMnist(fitted))) return { pixels: fitted.grey, inverted };
  return { pixels: model.fit === "mnist" ? asMnist(fitted, model, inverted) : asWhole(fitted, model), inverted };
}

/** The border's median is the ground; what differs most from it, lighter or darker, is the content. */
function isInverted(image, { polarity, fit }) {
  if (polarity === "any") return false;
  if (fit === "mnist" && Math.min(image.width, image.height) >= PHOTO && isUneven(borderOf(image), image.grey)) {
    const darkInk = isDarkOnLight(image);
    if (darkInk !== null) return darkInk === (polarity === "light-on-dark");
  }
  const ground = median(borderOf(image));
  const [least, most] = range(image.grey);
  const [lighter, darker] = [most - ground, ground - least];
  return polarity === "light-on-dark" ? darker > lighter : lighter > darker;
}

/** A large page in as many pixels as are of use, without strips at its border and much noise; others as they are. */
function pageOf(image) {
  const page = reduce(image, Math.max(1, Math.floor(Math.max(image.width, image.height) / LONGEST)));
  return Math.min(page.width, page.height) < SMOOTHED ? page : boxBlur(withoutStrips(page));
}

/** Whether light ink on dark has the place and contrast of MNIST's digits. */
function isAsMnist(image) {
  const { grey, width, height } = image;
  if (range(grey)[1] < FULL) return false;
  const [rows, columns] = [new Array(height).fill(0), new Array(width).fill(0)];
  grey.forEach((value, i) => {
    rows[Math.floor(i / width)] += value;
    columns[i % width] += value;
  });
  const length = (sums) => sums.findLastIndex((sum) => sum > 0) - sums.findIndex((sum) => sum > 0) + 1;
  const { x, y } = massOf(image);
  const isCentred = Math.abs(x - width / 2) <= OFF_CENTRE && Math.abs(y - height / 2) <= OFF_CENTRE;
  const side = roundHalfEven(BOX * Math.min(width, height));
  return isCentred && [side - 1, side].includes(Math.max(length(rows), length(columns)));
}

/** The ink, scaled into a box of 20 x 20 in 28 x 28, its centre of mass in the middle. */
function asMnist(image, model, wasInverted) {
  const pixels = new Uint8Array(model.width * model.height);
  const isLarge = Math.min(image.width, image.height) >= PHOTO;
  const page = isLarge && isUneven(borderOf(image), image.grey) ? evened(image, wasInverted) : image;
  const ink = inkOfLevels(page);
  const isInk = Array.from(ink, (value) => value > float32(INK));
  const box = cutOut(isLarge ? withoutRim(page, isInk) : page, ink);
  if (box === null) return pixels;
  const digit = scaled(box, model);
  const mass = massOf(digit);
  if (mass === null) return pixels;
  const start = (side, length, centre) => Math.max(0, Math.min(side - length, roundHalfEven(side / 2 - centre)));
  return paste(pixels, model, digit, start(model.width, digit.width, mass.x), start(model.height, digit.height, mass.y));
}

/** The digit in its final size, at full contrast, its strokes at least as wide as MNIST's thin ones. */
function scaled(box, model) {
  const digit = stretched(resizedBox(box, model, 1));
  const widening = roundHalfEven(((PEN - strokeWidth(digit)) * FINE) / 2);
  if (widening < 1 || range(digit.grey)[1] === 0) return digit;
  const fine = expand(stretched(resizedBox(box, model, FINE)), widening);
  return stretched(resizedBox(maxFilter(fine, widening), model, 1));
}

function resizedBox(box, model, fineness) {
  const scale = BOX * fineness * Math.min(model.height / box.height, model.width / box.width);
  const [width, height] = [box.width, box.height].map((side) => Math.max(1, roundHalfEven(scale * side)));
  return resize(box, width, height);
}

/** Full contrast. */
function stretched(digit) {
  const strongest = Math.max(1, range(digit.grey)[1]);
  return { ...digit, grey: digit.grey.map((value) => Math.floor((value * 510 + strongest) / (2 * strongest))) };
}

/** Mean width of the strokes in pixels: twice the ink over the length of its outline. */
function strokeWidth(digit) {
  const { grey, width, height } = expand(digit, 1);
  let [ink, outline] = [0, 0];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const value = grey[y * width + x];
      ink += value;
      if (x > 0) outline += Math.abs(value - grey[y * width + x - 1]);
      if (y > 0) outline += Math.abs(value - grey[(y - 1) * width + x]);
    }
  }
  return ((8 / Math.PI) * ink) / Math.max(1, outline);
}

/** How much ink each of the 256 grey levels is, 0 to 1: 0 is the ground with its border's noise. */
function inkOfLevels(page) {
  const border = borderOf(page);
  const ground = median(border);
  const strongest = range(page.grey)[1] - ground;
  if (strongest < FAINTEST) return new Float32Array(256);
  const deviations = Float32Array.from(border, (value) => Math.abs(value - ground)).sort();
  const noise = Math.min(float32(deviations[Math.floor((deviations.length * 9) / 10)] / strongest), INK);
  return Float32Array.from({ length: 256 }, (_, level) => {
    const ink = Math.max(float32((level - ground) / strongest), 0);
    return Math.max(float32(ink - float32(noise)), 0) / float32(1 - noise);
  });
}

/** The ink without its margins, as an image; null where there is none. */
function cutOut({ grey, width, height }, ink) {
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (ink[grey[y * width + x]] <= float32(INK)) continue;
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), y];
    }
  }
  if (right < 0) return null;
  const levels = Uint8Array.from(ink, (value) => roundHalfEven(float32(value * 255)));
  const box = { width: right - left + 1, height: bottom - top + 1 };
  const rows = Array.from({ length: box.height }, (_, y) => (top + y) * width);
  const cut = new Uint8Array(box.width * box.height);
  rows.forEach((row, y) => {
    for (let x = 0; x < box.width; x += 1) cut[y * box.width + x] = levels[grey[row + left + x]];
  });
  return { grey: cut, ...box };
}

/** The centre of mass, { x, y } in pixels from the middle of the first; null where all is black. */
function massOf({ grey, width }) {
  let [total, x, y] = [0, 0, 0];
  grey.forEach((value, i) => {
    total += value;
    x += value * (i % width);
    y += value * Math.floor(i / width);
  });
  return total > 0 ? { x: x / total, y: y / total } : null;
}

/** The whole image, made as wide in proportion as the input by bars of its border's colour (ImageOps.pad). */
function asWhole(image, model) {
  let [width, height] = [model.width, model.height];
  if (image.width * model.height > image.height * model.width) {
    height = roundHalfEven((image.height / image.width) * model.width);
  } else width = roundHalfEven((image.width / image.height) * model.height);
  if (width < 1 || height < 1) throw new RangeError(`an image of ${image.width} x ${image.height} pixels is too narrow`);
  const pixels = new Uint8Array(model.width * model.height).fill(Math.floor(median(borderOf(image))));
  const [left, top] = [(model.width - width) / 2, (model.height - height) / 2].map(roundHalfEven);
  return paste(pixels, model, resize(image, width, height), left, top);
}

function paste(pixels, model, image, left, top) {
  for (let y = 0; y < image.height; y += 1) {
    pixels.set(image.grey.subarray(y * image.width, (y + 1) * image.width), (top + y) * model.width + left);
  }
  return pixels;
}

/** The grey levels of the four edges; the corners are in it twice. */
function borderOf({ grey, width, height }) {
  const border = new Uint8Array(2 * (width + height));
  border.set(grey.subarray(0, width));
  border.set(grey.subarray(grey.length - width), width);
  for (let y = 0; y < height; y += 1) {
    border.set([grey[y * width], grey[y * width + width - 1]], 2 * (width + y));
  }
  return border;
}
