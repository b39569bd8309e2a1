// Four of Pillow's operations on grey images, bit for bit (libImaging Resample.c, Reduce.c, BoxBlur.c, RankFilter.c), so that the page
// and Python make the same pixels of an image. An image is { grey: Uint8Array [height * width], width, height }.

const PRECISION = 2 ** 22; // of Resample.c's fixed-point coefficients
const LANCZOS = 3; // support, in source pixels at scale 1

/** Image.resize, Lanczos: rounded to bytes between the two passes, whose order is that of Pillow 13. */
export function resize(image, width, height) {
  const down = (wide) => transpose(resample(transpose(wide), height));
  const isDownFirst = image.height > height && image.height - height > 2 * (image.width - width);
  return isDownFirst ? resample(down(image), width) : down(resample(image, width));
}

/** Image.reduce: means of blocks of factor x factor pixels; those at the far edges may be smaller. */
export function reduce(image, factor) {
  if (factor === 1) return image;
  const width = Math.ceil(image.width / factor);
  const height = Math.ceil(image.height / factor);
  const grey = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) grey[y * width + x] = blockMean(image, x * factor, y * factor, factor);
  }
  return { grey, width, height };
}

function blockMean({ grey, width, height }, left, top, factor) {
  const [right, bottom] = [Math.min(left + factor, width), Math.min(top + factor, height)];
  const count = (right - left) * (bottom - top);
  let sum = Math.floor(count / 2);
  for (let y = top; y < bottom; y += 1) for (let x = left; x < right; x += 1) sum += grey[y * width + x];
  return Math.floor((sum * Math.floor(2 ** 24 / count)) / 2 ** 24);
}

/** ImageFilter.BoxBlur(1): means of 3 x 3 pixels, rounded to bytes between rows and columns; edges are repeated. */
export function boxBlur(image) {
  return transpose(blurRows(transpose(blurRows(image))));
}

function blurRows({ grey, width, height }) {
  const out = new Uint8Array(grey.length);
  for (let row = 0; row < grey.length; row += width) {
    for (let x = 0; x < width; x += 1) {
      const sum = grey[row + Math.max(x - 1, 0)] + grey[row + x] + grey[row + Math.min(x + 1, width - 1)];
      out[row + x] = Math.round(sum / 3);
    }
  }
  return { grey: out, width, height };
}

/** ImageFilter.MaxFilter(2 * reach + 1): the greatest of a square around each pixel; edges are repeated. */
export function maxFilter(image, reach) {
  return transpose(greatestOfRows(transpose(greatestOfRows(image, reach)), reach));
}

function greatestOfRows({ grey, width, height }, reach) {
  const out = new Uint8Array(grey.length);
  for (let row = 0; row < grey.length; row += width) {
    for (let x = 0; x < width; x += 1) {
      for (let i = Math.max(x - reach, 0); i <= Math.min(x + reach, width - 1); i += 1) {
        if (grey[row + i] > out[row + x]) out[row + x] = grey[row + i];
      }
    }
  }
  return { grey: out, width, height };
}

/** ImageOps.expand: a border of zeros. */
export function expand(image, border) {
  const [width, height] = [image.width + 2 * border, image.height + 2 * border];
  const grey = new Uint8Array(width * height);
  for (let y = 0; y < image.height; y += 1) {
    grey.set(image.grey.subarray(y * image.width, (y + 1) * image.width), (y + border) * width + border);
  }
  return { grey, width, height };
}

/** Python's round: halves to the even neighbour. */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function resample(image, newWidth) {
  const { grey, width, height } = image;
  if (width === newWidth) return image;
  const out = new Uint8Array(newWidth * height);
  for (let x = 0; x < newWidth; x += 1) {
    const { first, weights } = coefficients(width, newWidth, x);
    for (let y = 0; y < height; y += 1) {
      let sum = PRECISION / 2;
      for (let i = 0; i < weights.length; i += 1) sum += grey[y * width + first + i] * weights[i];
      out[y * newWidth + x] = Math.max(0, Math.min(255, Math.floor(sum / PRECISION)));
    }
  }
  return { grey: out, width: newWidth, height };
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

function transpose({ grey, width, height }) {
  const out = new Uint8Array(grey.length);
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) out[x * height + y] = grey[y * width + x];
  return { grey: out, width: height, height: width };
}
