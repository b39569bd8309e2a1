// Strokes of a pen become pixels as MNIST's digits were made (LeCun et al. 1998): scaled into a box, antialiased, and
// placed by their centre of mass. Box, place and pen are those of the file's own images (model.json, "drawing").

const FINENESS = 4; // points a pixel and direction that decide how much of it is ink

/**
 * strokes: arrays of [x, y] in any unit -> Uint8Array [height * width], light on dark; all 0 where there are none.
 * frame: { box, pen, centre }, in pixels of the image; centre is "mass" or "box".
 */
export function rasterise(strokes, frame, height, width) {
  const points = strokes.flat();
  if (points.length === 0) return new Uint8Array(height * width);
  const placed = intoBox(strokes, points, frame, height, width);
  const pixels = ink(placed, frame.pen, height, width);
  if (frame.centre !== "mass") return pixels;
  const [x, y] = centreOfMass(pixels, width);
  // MNIST's centres of mass lie within the pixel (14, 14), not on the corner that is the middle of 28 x 28.
  const [dx, dy] = within(placed.flat(), frame.pen, height, width, (width + 1) / 2 - x, (height + 1) / 2 - y);
  return ink(moved(placed, dx, dy), frame.pen, height, width);
}

/** [x, y], in pixels from the left and top edge, of grey levels. */
export function centreOfMass(pixels, width) {
  let [sum, x, y] = [0, 0, 0];
  pixels.forEach((value, i) => {
    sum += value;
    x += value * ((i % width) + 0.5);
    y += value * (Math.floor(i / width) + 0.5);
  });
  return [x / sum, y / sum];
}

function bounds(points) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const least = (values) => values.reduce((a, b) => Math.min(a, b));
  const most = (values) => values.reduce((a, b) => Math.max(a, b));
  return { left: least(xs), right: most(xs), top: least(ys), bottom: most(ys) };
}

function intoBox(strokes, points, frame, height, width) {
  const { left, right, top, bottom } = bounds(points);
  const side = Math.max(right - left, bottom - top);
  const scale = side > 0 ? (frame.box - frame.pen) / side : 0;
  const [middleX, middleY] = [(left + right) / 2, (top + bottom) / 2];
  return strokes.map((stroke) =>
    stroke.map(([x, y]) => [width / 2 + (x - middleX) * scale, height / 2 + (y - middleY) * scale]),
  );
}

/** Shorten the way (dx, dy) so that no ink leaves the image. */
function within(points, pen, height, width, dx, dy) {
  const { left, right, top, bottom } = bounds(points);
  const between = (value, low, high) => Math.max(Math.min(value, Math.max(high, 0)), Math.min(low, 0));
  const edge = pen / 2;
  return [
    between(dx, edge - left, width - edge - right),
    between(dy, edge - top, height - edge - bottom),
  ];
}

function moved(strokes, dx, dy) {
  return strokes.map((stroke) => stroke.map(([x, y]) => [x + dx, y + dy]));
}

function ink(strokes, pen, height, width) {
  const fine = { width: width * FINENESS, height: height * FINENESS, radius: (pen * FINENESS) / 2 };
  const covered = new Uint8Array(fine.width * fine.height);
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => [x * FINENESS, y * FINENESS]);
    points.forEach((point, i) => coverSegment(covered, fine, points[Math.max(i - 1, 0)], point));
  }
  const pixels = new Uint8Array(height * width);
  covered.forEach((isInk, i) => {
    const [x, y] = [i % fine.width, Math.floor(i / fine.width)];
    pixels[Math.floor(y / FINENESS) * width + Math.floor(x / FINENESS)] += isInk;
  });
  return pixels.map((count) => Math.round((255 * count) / FINENESS ** 2));
}

function coverSegment(covered, { width, height, radius }, [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const squared = dx * dx + dy * dy;
  const low = (a, b) => Math.max(0, Math.floor(Math.min(a, b) - radius));
  const high = (a, b, size) => Math.min(size, Math.ceil(Math.max(a, b) + radius));
  for (let y = low(ay, by); y < high(ay, by, height); y += 1) {
    for (let x = low(ax, bx); x < high(ax, bx, width); x += 1) {
      const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
      const along = squared > 0 ? Math.max(0, Math.min(1, (px * dx + py * dy) / squared)) : 0;
      if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) covered[y * width + x] = 1;
    }
  }
}
