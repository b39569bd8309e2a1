// What lies around a digit on a photographed page: the edge of a table, and light that is not even. The same bytes as
// lenet_edge_runtime/paper.py gives, which has the reasons. An image is { grey: Uint8Array, width, height }.

const STRIP = 10; // a strip at the border takes up at most one such part of the page
const FAR = 0.3; // of the page's range of levels: so far from its median a strip has to be
const WINDOW = 3; // the window takes up one such part of the page: no stroke is as wide
const NEAR = 12; // and of the window that tells ink from ground
const CLEAR = 1.2; // times as much of one as of the other is clear
const ALONG = 0.5; // of a part's longer side that lies on the page's border: no digit lies so along it
const LEFT = 0.1; // of the page's shorter side: so long has another part to be
const UNEVEN = 0.15; // of the greatest contrast: a border that varies by more is no even ground

/** The page without strips of another level along its border. */
export function withoutStrips(page) {
  const { grey, width, height } = page;
  const [least, most] = range(grey);
  const middle = median(grey);
  const isFar = Uint8Array.from(grey, (value) => (Math.abs(value - middle) > FAR * (most - least) ? 1 : 0));
  const row = (y) => sum(isFar.subarray(y * width, (y + 1) * width));
  const column = (x) => {
    let count = 0;
    for (let i = x; i < isFar.length; i += width) count += isFar[i];
    return count;
  };
  const top = strip(row, height, width);
  const bottom = strip((y) => row(height - 1 - y), height, width);
  const left = strip(column, width, height);
  const right = strip((x) => column(width - 1 - x), width, height);
  return crop(page, left, top, width - left - right, height - top - bottom);
}

/** How many lines from the first on are strip, with what is blurred beside it; 0 where there is no paper after it. */
function strip(countOf, lines, length) {
  const most = Math.floor(lines / STRIP);
  let found = 0;
  while (found <= most && countOf(found) * 100 >= 97 * length) found += 1;
  if (found === 0 || found > most || countOf(found + 3) * 10 > 3 * length) return 0;
  return found + 3;
}

/** The page, light on dark, with 0 where ink lies along its border and other ink is left. isInk: of each grey level. */
export function withoutRim(page, isInk) {
  const { grey, width, height } = page;
  const isPlain = (i) => !isInk[grey[i]];
  if (borderIndices(page).every(isPlain)) return page;
  const labels = new Int32Array(grey.length);
  const parts = [];
  grey.forEach((value, i) => {
    if (isInk[value] && labels[i] === 0) parts.push(partAt(page, isInk, labels, i, parts.length + 1));
  });
  for (const i of borderIndices(page)) if (labels[i] > 0) parts[labels[i] - 1].touching += 1;
  const isAlong = parts.map(({ touching, side }) => touching >= ALONG * side);
  const isDigit = ({ side }, i) => !isAlong[i] && side >= LEFT * Math.min(width, height);
  if (!parts.some(isDigit)) return page;
  return { ...page, grey: grey.map((value, i) => (labels[i] > 0 && isAlong[labels[i] - 1] ? 0 : value)) };
}

/** Labels the ink that hangs together with pixel `start`, corners too, and gives its longer side. */
function partAt({ grey, width, height }, isInk, labels, start, label) {
  let [left, right, top, bottom] = [width, 0, height, 0];
  const open = [start];
  labels[start] = label;
  while (open.length > 0) {
    const i = open.pop();
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
    for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v += 1) {
      for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u += 1) {
        const j = v * width + u;
        if (labels[j] > 0 || !isInk[grey[j]]) continue;
        labels[j] = label;
        open.push(j);
      }
    }
  }
  return { side: Math.max(right - left, bottom - top) + 1, touching: 0 };
}

/** Where each pixel of the border is, once. */
function borderIndices({ grey, width, height }) {
  const found = [];
  for (let x = 0; x < width; x += 1) found.push(x, grey.length - width + x);
  for (let y = 1; y < height - 1; y += 1) found.push(y * width, y * width + width - 1);
  return found;
}

/** Whether one level in ten of the border is further from its median than a share of the greatest contrast. */
export function isUneven(border, grey) {
  const middle = median(border);
  const deviations = Float64Array.from(border, (value) => Math.abs(value - middle)).sort();
  const [least, most] = range(grey);
  return deviations[Math.floor((deviations.length * 9) / 10)] > UNEVEN * Math.max(most - middle, middle - least);
}

/** Whether strokes are clearly darker than the ground beside them; null where they are too wide for that. */
export function isDarkOnLight(page) {
  const darker = sum(groundOf(page, "dark", NEAR).grey) - sum(page.grey);
  const lighter = sum(page.grey) - sum(groundOf(page, "light", NEAR).grey);
  return Math.max(darker, lighter) < CLEAR * Math.min(darker, lighter) ? null : darker > lighter;
}

/** Light ink on a ground of 0: what is above the local ground, as a share of the paper's light for dark ink. */
export function evened(page, wasInverted) {
  const ground = groundOf(page, "light", WINDOW).grey;
  const above = (value, i) => {
    const difference = value - ground[i];
    return wasInverted ? Math.floor((difference * 255) / Math.max(255 - ground[i], 1)) : difference;
  };
  return { ...page, grey: page.grey.map(above) };
}

export function range(values) {
  let [least, most] = [values[0], values[0]];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}

/** Of bytes. */
export function median(values) {
  const sorted = values.slice().sort();
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The page without strokes of this kind that are narrower than one such part of it. */
function groundOf(page, ink, part) {
  const reach = Math.floor(Math.min(page.width, page.height) / (2 * part));
  const ways = ink === "light" ? [Math.min, Math.max] : [Math.max, Math.min];
  return ways.reduce((image, better) => windowed(windowed(image, reach, better), reach, better), page);
}

/** Rows become columns; each value the least or greatest of its column's 2 * reach + 1 around it; edges are repeated. */
function windowed({ grey, width, height }, reach, better) {
  const out = new Uint8Array(grey.length);
  for (let x = 0; x < width; x += 1) {
    let line = new Uint8Array(height + 2 * reach);
    for (let y = 0; y < line.length; y += 1) {
      line[y] = grey[Math.max(0, Math.min(height - 1, y - reach)) * width + x];
    }
    for (let covered = 1; covered < 2 * reach + 1; ) {
      const step = Math.min(covered, 2 * reach + 1 - covered);
      for (let y = 0; y + step < line.length; y += 1) line[y] = better(line[y], line[y + step]);
      line = line.subarray(0, line.length - step);
      covered += step;
    }
    out.set(line, x * height);
  }
  return { grey: out, width: height, height: width };
}

function crop({ grey, width }, left, top, newWidth, newHeight) {
  const out = new Uint8Array(newWidth * newHeight);
  for (let y = 0; y < newHeight; y += 1) {
    const start = (top + y) * width + left;
    out.set(grey.subarray(start, start + newWidth), y * newWidth);
  }
  return { grey: out, width: newWidth, height: newHeight };
}

function sum(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
