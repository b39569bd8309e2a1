// From a decoded image to grey levels, and resizing. The same bytes as Pillow gives: its arithmetic (libImaging
// Convert.c, AlphaComposite.c, Resample.c, Reduce.c, BoxBlur.c) in whole numbers, so that both can be compared.

const PRECISION = 2 ** 22; // of Resample.c's fixed-point coefficients
const LANCZOS = 3; // support, in source pixels at scale 1

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

function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function blend(value, ground, alpha) {
  const sum = (value * alpha + ground * (255 - alpha)) * 128 + 0x4000;
  return ((sum >> 8) + sum) >> 15;
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

/** Average boxes of factor x factor pixels; those at the right and lower edge may be smaller. */
export function reduce(grey, width, height, factor) {
  const [newWidth, newHeight] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const out = new Uint8Array(newWidth * newHeight);
  for (let y = 0; y < newHeight; y += 1) {
    for (let x = 0; x < newWidth; x += 1) out[y * newWidth + x] = average(grey, width, height, x * factor, y * factor, factor);
  }
  return { grey: out, width: newWidth, height: newHeight };
}

function average(grey, width, height, left, top, factor) {
  const [right, bottom] = [Math.min(left + factor, width), Math.min(top + factor, height)];
  const count = (right - left) * (bottom - top);
  let sum = Math.floor(count / 2);
  for (let y = top; y < bottom; y += 1) for (let x = left; x < right; x += 1) sum += grey[y * width + x];
  return Math.floor((sum * Math.floor(Math.fround(2 ** 32 / (256 * count)))) / 2 ** 24);
}

/** Average 3 x 3 pixels, rounded to bytes between the two directions (BoxBlur.c); edges are repeated. */
export function smooth(grey, width, height) {
  const across = (image, columns, rows) => {
    const out = new Uint8Array(image.length);
    const third = Math.floor(2 ** 24 / 3);
    for (let i = 0; i < columns * rows; i += 1) {
      const x = i % columns;
      const sum = image[x > 0 ? i - 1 : i] + image[i] + image[x < columns - 1 ? i + 1 : i];
      out[i] = Math.floor((sum * third + 2 ** 23) / 2 ** 24);
    }
    return out;
  };
  return transpose(across(transpose(across(grey, width, height), width, height), height, width), height, width);
}
