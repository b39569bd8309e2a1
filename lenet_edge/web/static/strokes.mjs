// Strokes of a pen become an image of ink on an empty ground, several times as fine as the net's input. fitting.mjs then
// brings it to its size and place, as any other image: nothing here has to know of the net.

const FINENESS = 8; // pixels of the image for one of MNIST's
const BOX = 20 * FINENESS; // the longer side of what is drawn: as many of MNIST's pixels as its digits take up
const PEN = 2.5 * FINENESS; // the width of MNIST's strokes: 2.4 of its pixels in the mean
const SIDE = BOX + 4 * FINENESS; // of the image: an empty border shows what the ground is

/** strokes: arrays of [x, y] in any unit -> { grey: Uint8Array, width, height }, light on dark. */
export function rasterise(strokes) {
  const grey = new Uint8Array(SIDE * SIDE);
  for (const stroke of intoBox(strokes)) {
    stroke.forEach((point, i) => cover(grey, stroke[Math.max(i - 1, 0)], point));
  }
  return { grey, width: SIDE, height: SIDE };
}

/** However small a digit is drawn, its lines are as wide in proportion as MNIST's. */
function intoBox(strokes) {
  const points = strokes.flat();
  const [x, y] = [0, 1].map((axis) => extent(points.map((point) => point[axis])));
  const side = Math.max(x.length, y.length);
  const scale = side > 0 ? (BOX - PEN) / side : 0;
  const placed = (value, { middle }) => SIDE / 2 + (value - middle) * scale;
  return strokes.map((stroke) => stroke.map((point) => [placed(point[0], x), placed(point[1], y)]));
}

function extent(values) {
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return { length: most - least, middle: (least + most) / 2 };
}

/** Ink from a to b, with round ends. */
function cover(grey, [ax, ay], [bx, by]) {
  const radius = PEN / 2;
  const [dx, dy] = [bx - ax, by - ay];
  const squared = dx * dx + dy * dy;
  const low = (a, b) => Math.floor(Math.min(a, b) - radius);
  const high = (a, b) => Math.ceil(Math.max(a, b) + radius);
  for (let y = low(ay, by); y < high(ay, by); y += 1) {
    for (let x = low(ax, bx); x < high(ax, bx); x += 1) {
      const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
      const along = squared > 0 ? Math.max(0, Math.min(1, (px * dx + py * dy) / squared)) : 0;
      if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) grey[y * SIDE + x] = 255;
    }
  }
}
