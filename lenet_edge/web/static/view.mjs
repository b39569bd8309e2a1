// What the page shows: bars, the answer, small images, facts on the file.

export const element = (id) => document.getElementById(id);

function made(name, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(name), attributes);
  node.append(...children);
  return node;
}

/** 0.9951 as "99.5 %". */
export function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Bytes as "74.2 kB" or "14.3 MB" (powers of 1000). */
export function size(bytes) {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function buildBars(labels) {
  const rows = labels.map((label) =>
    made(
      "li",
      {},
      made("span", { className: "label", textContent: label }),
      made("span", { className: "track", ariaHidden: "true" }, made("div", { className: "bar" })),
      made("span", { className: "share", textContent: "–" }),
    ),
  );
  element("bars").replaceChildren(...rows);
}

/** Set the bars to `probabilities`; null empties them. */
export function showBars(probabilities) {
  const best = probabilities && Math.max(...probabilities);
  [...element("bars").children].forEach((row, i) => {
    const share = probabilities ? probabilities[i] : 0;
    row.classList.toggle("best", Boolean(probabilities) && share === best);
    row.querySelector(".bar").style.transform = `scaleX(${share})`;
    row.querySelector(".share").textContent = probabilities ? percent(share) : "–";
  });
}

export function showAnswer(label, share) {
  const answer = element("answer");
  answer.querySelector(".label").textContent = label;
  answer.querySelector(".label").classList.toggle("character", [...label].length === 1);
  answer.querySelector(".share").textContent = share;
}

/** Draw grey levels, Uint8Array [height * width], on a canvas of just that size. */
export function paint(canvas, pixels, { width, height }) {
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  pixels.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export function buildExamples(known, model, chosen) {
  const buttons = Array.from({ length: known.count }, (_, i) => {
    const canvas = made("canvas", { ariaHidden: "true" });
    paint(canvas, known.imageOf(i), model);
    const button = made("button", { type: "button", ariaLabel: `Example ${i + 1}`, ariaPressed: "false" }, canvas);
    button.addEventListener("click", () => chosen(i));
    return button;
  });
  element("examples").replaceChildren(...buttons);
}

/** Mark example i as the one that is shown; null for none. */
export function pressExample(i) {
  [...element("examples").children].forEach((button, j) => {
    button.ariaPressed = String(i === j);
  });
}

/** rows: [name, text] or [name, node]. */
export function showFacts(rows) {
  const parts = rows.flatMap(([name, value]) => [made("dt", { textContent: name }), made("dd", {}, value)]);
  element("facts").replaceChildren(...parts);
}

export function code(text) {
  return made("code", { textContent: text });
}

/** A link that downloads a file. */
export function link(text, href) {
  return made("a", { textContent: text, href, download: text });
}

export function showProblem(message) {
  const problem = element("problem");
  problem.textContent = message;
  problem.hidden = message === "";
}
