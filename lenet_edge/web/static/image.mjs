// From a decoded image to the raw pixels that the net takes. The same bytes as lenet_edge_runtime/images.py gives:
// Pillow's arithmetic (libImaging Convert.c, AlphaComposite.c, Resample.c) in whole numbers, so that both can be compared.

const PRECISION = 2 ** 22; // of Resample.c's fixed-point coefficients
const LANCZOS = 3; // support, in source pixels at scale 1

/**
 * RGBA (Uint8 [height * width * 4], not premultiplied) -> { pixels: Uint8Array [model.height * model.width], inverted }.
 * Throws RangeError for an image too narrow to be fitted.
 */
export function toPixels(rgba, width, height, model) {
  let grey = toGrey(rgba);
  const inverted = isInverted(grey, width, height, model.polarity);
  if (inverted) grey = grey.map((value) => 255 - value);
  const pixels = width === model.width && height === model.height ? grey : pad(grey, width, height, model);
  return { pixels, inverted };
}

/** Grey levels; what shows through transparent pixels is the opposite of the content. */
export function toGrey(rgba) {
  let weighted = 0;
  let opacity = 0;
  for (let i = 0; i < rgba.length; i += 4) {
    weighted += luma(rgba[i], rgba[i + 1], rgba[i + 2]) * rgba[i + 3];
    opacity += rgba[i + 3];
  }
  const ground = opacity > 0 && weighted / opacity > 127.5 ? 0 : 255;
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0, j = 0; i < rgba.length; i += 4, j += 1) {
    const over = (value) => blend(value, ground, rgba[i + 3]);
    grey[j] = luma(over(rgba[i]), over(rgba[i + 1]), over(rgba[i + 2]));
  }
  return grey;
}

/** Whether the border is not as dark (or as light) as that of the training images. */
export function isInverted(grey, width, height, polarity) {
  if (polarity === "any") return false;
  const isLight = borderMedian(grey, width, height) > 127.5;
  return isLight === (polarity === "light-on-dark");
}

function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function blend(value, ground, alpha) {
  const sum = (value * alpha + ground * (255 - alpha)) * 128 + 0x4000;
  return ((sum >> 8) + sum) >> 15;
}

function borderMedian(grey, width, height) {
  const border = [];
  for (let x = 0; x < width; x += 1) border.push(grey[x], grey[(height - 1) * width + x]);
  for (let y = 0; y < height; y += 1) border.push(grey[y * width], grey[y * width + width - 1]);
  border.sort((a, b) => a - b);
  return (border[border.length / 2 - 1] + border[border.length / 2]) / 2;
}

/** Fit into the model's size by bars of the border's colour (ImageOps.pad). */
function pad(grey, width, height, model) {
  let [newWidth, newHeight] = [model.width, model.height];
  if (width * model.height > height * model.width) newHeight = roundHalfEven((height / width) * model.width);
  else newWidth = roundHalfEven((width / height) * model.height);
  if (newWidth < 1 || newHeight < 1) throw new RangeError(`an image of ${width} x ${height} pixels is too narrow`);
  const fitted = resize(grey, width, height, newWidth, newHeight);
  const pixels = new Uint8Array(model.width * model.height).fill(Math.floor(borderMedian(grey, width, height)));
  const left = roundHalfEven((model.width - newWidth) / 2);
  const top = roundHalfEven((model.height - newHeight) / 2);
  for (let y = 0; y < newHeight; y += 1) {
    pixels.set(fitted.subarray(y * newWidth, (y + 1) * newWidth), (top + y) * model.width + left);
  }
  return pixels;
}

/** Lanczos with antialiasing, rounded to bytes between the two passes, whose order is that of Pillow 13. */
export function resize(grey, width, height, newWidth, newHeight) {
  const down = (image, columns) =>
    transpose(resample(transpose(image, columns, height), height, columns, newHeight), newHeight, columns);
  const isDownFirst = height > newHeight && height - newHeight > 2 * (width - newWidth);
  if (isDownFirst) return resample(down(grey, width), width, newHeight, newWidth);
  return down(resample(grey, width, height, newWidth), newWidth);
}

function resample(grey, width, height, newWidth) {
  if (width === newWidth) return grey;
  const out = new Uint8Array(newWidth * height);
  for (let x = 0; x < newWidth; x += 1) {
    const { first, weights } = coefficients(width, newWidth, x);
    for (let y = 0; y < height; y += 1) {
      let sum = PRECISION / 2;
      for (let i = 0; i < weights.length; i += 1) sum += grey[y * width + first + i] * weights[i];
      out[y * newWidth + x] = Math.max(0, Math.min(255, Math.floor(sum / PRECISION)));
    }
  }
  return out;
}

function coefficients(size, newSize, position) {
  const scale = size / newSize;
  const stretch = Math.max(scale, 1);
  const centre = (position + 0.5) * scale;
  const first = Math.max(0, Math.trunc(centre - LANCZOS * stretch + 0.5));
  const last = Math.min(size, Math.trunc(centre + LANCZOS * stretch + 0.5));
  const weights = Array.from({ length: last - first }, (_, i) => lanczos((first + i - centre + 0.5) * (1 / stretch)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return { first, weights: weights.map((weight) => fixed(weight / total)) };
}

function fixed(weight) {
  return Math.trunc(weight * PRECISION + (weight < 0 ? -0.5 : 0.5));
}

function lanczos(x) {
  return x >= -LANCZOS && x < LANCZOS ? sinc(x) * sinc(x / LANCZOS) : 0;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

function transpose(grey, width, height) {
  const out = new Uint8Array(grey.length);
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) out[x * height + y] = grey[y * width + x];
  return out;
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
