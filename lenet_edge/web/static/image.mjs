// A decoded image in grey levels: the same bytes as lenet_edge_runtime/images.py gives, by Pillow's arithmetic in whole
// numbers (libImaging Convert.c, AlphaComposite.c). How it is then fitted to the net's input: fitting.mjs.

/**
 * ImageData, RGBA not premultiplied -> { grey: Uint8Array [height * width], width, height }. What shows through
 * transparent pixels is the opposite of the content.
 */
export function toGrey({ data: rgba, width, height }) {
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
  return { grey, width, height };
}

function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

function blend(value, ground, alpha) {
  const sum = (value * alpha + ground * (255 - alpha)) * 128 + 0x4000;
  return ((sum >> 8) + sum) >> 15;
}
