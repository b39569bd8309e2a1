// A decoded image in grey levels: the same bytes as lenet_edge_runtime/images.py gives, by Pillow's arithmetic in whole
// numbers (libImaging Convert.c, AlphaComposite.c). How it is then fitted to the net's input: fitting.mjs.

const RIM = 20; // grey levels by which the mean of a cut-out's rim has to differ from that of its inside

/**
 * ImageData, RGBA not premultiplied -> { grey: Uint8Array [height * width], width, height }. Transparent pixels show
 * what the content was drawn on.
 */
export function toGrey({ data: rgba, width, height }) {
  const ground = groundOf(rgba, width, height);
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0, j = 0; i < rgba.length; i += 4, j += 1) {
    const over = (value) => blend(value, ground, rgba[i + 3]);
    grey[j] = luma(over(rgba[i]), over(rgba[i + 1]), over(rgba[i + 2]));
  }
  return { grey, width, height };
}

/** 0 or 255: the rim of the content leans towards it; content of one tone gets the opposite of itself. */
function groundOf(rgba, width, height) {
  const rim = { sum: 0, count: 0 };
  const inside = { sum: 0, count: 0 };
  let [weighted, opacity] = [0, 0];
  const isSolid = (x, y) => x < 0 || y < 0 || x >= width || y >= height || rgba[4 * (y * width + x) + 3] >= 128;
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 4) {
      const level = luma(rgba[i], rgba[i + 1], rgba[i + 2]);
      weighted += level * rgba[i + 3];
      opacity += rgba[i + 3];
      if (rgba[i + 3] < 128) continue;
      const isSurrounded = isSolid(x - 1, y) && isSolid(x + 1, y) && isSolid(x, y - 1) && isSolid(x, y + 1);
      const part = isSurrounded ? inside : rim;
      part.sum += level;
      part.count += 1;
    }
  }
  if (rim.count > 0 && inside.count > 0) {
    const lighter = rim.sum / rim.count - inside.sum / inside.count;
    if (Math.abs(lighter) > RIM) return lighter > 0 ? 255 : 0;
  }
  return opacity > 0 && weighted / opacity > 127.5 ? 0 : 255;
}

function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function blend(value, ground, alpha) {
  const sum = (value * alpha + ground * (255 - alpha)) * 128 + 0x4000;
  return ((sum >> 8) + sum) >> 15;
}
