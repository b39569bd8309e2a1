// What the net says: probabilities, how long it took, and whether it still gives the answers that came with its file.

/** Probabilities of logits (one image); shifted by the greatest so that none overflows. */
export function softmax(logits) {
  const greatest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - greatest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Whether an image with these logits shows one of the classes: their log-sum-exp reaches the threshold, if any. */
export function isKnown(logits, threshold) {
  if (threshold === null || threshold === undefined) return true;
  const greatest = Math.max(...logits);
  return greatest + Math.log(Array.from(logits, (value) => Math.exp(value - greatest)).reduce((a, b) => a + b)) >= threshold;
}

/** known-answers.json -> { count, imageOf(i), logits: Float32Array, tolerance }. */
export function decode(document) {
  const pixels = bytesOf(document.pixels);
  const [count] = document.shape;
  const size = pixels.length / count;
  return {
    count,
    pixels,
    imageOf: (i) => pixels.subarray(i * size, (i + 1) * size),
    logits: new Float32Array(bytesOf(document.logits).buffer),
    tolerance: document.tolerance,
  };
}

/** Run the known images; -> { passed, right, count, exact, difference }. A NaN counts as infinitely wrong. */
export async function replay(engine, known) {
  const found = await engine.predict(known.pixels);
  const classes = known.logits.length / known.count;
  let [right, exact, difference] = [0, 0, 0];
  for (let i = 0; i < known.count; i += 1) {
    const rows = [found, known.logits].map((logits) => logits.subarray(i * classes, (i + 1) * classes));
    const worst = greatestDifference(...rows);
    difference = Math.max(difference, worst);
    right += worst <= known.tolerance ? 1 : 0;
    exact += sameBits(...rows) ? 1 : 0;
  }
  return { passed: right === known.count && known.count > 0, right, count: known.count, exact, difference };
}

/** One sentence on a replay. */
export function verdict({ passed, right, count, exact, difference }) {
  const bits = exact === count ? ", bit for bit" : `; the greatest difference of a logit is ${difference.toPrecision(2)}`;
  return `${passed ? "Pass" : "Fail"}: ${right} of ${count} known answers given${bits}.`;
}

/** Milliseconds an image takes: the mean of as many calls as fit into `budget` ms, for clocks in browsers are coarse. */
export async function time(engine, pixels, budget = 20) {
  const start = performance.now();
  let [calls, spent] = [0, 0];
  while (spent < budget) {
    await engine.predict(pixels);
    calls += 1;
    spent = performance.now() - start;
  }
  return { milliseconds: spent / calls, calls };
}

/** SHA-256 in hexadecimal; null where the browser has none to give (a page over plain http, not on this machine). */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function greatestDifference(found, expected) {
  const differences = Array.from(expected, (value, i) => Math.abs(value - found[i]));
  return differences.some(Number.isNaN) || found.length !== expected.length ? Infinity : Math.max(...differences);
}

function sameBits(found, expected) {
  const [a, b] = [found, expected].map((row) => new Uint32Array(row.slice().buffer));
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
