// The page: image in, answer out. All that is particular to a file stands in model.json and known-answers.json; the
// engine is the module that model.json names.

import { decode, isKnown, replay, sha256, softmax, time, verdict } from "./answers.mjs";
import { fitImage } from "./fitting.mjs";
import { toGrey } from "./image.mjs";
import { Pad } from "./pad.mjs";
import { rasterise } from "./strokes.mjs";
import { buildBars, buildExamples, code, element, link, paint, percent, pressExample, showAnswer, showBars, showFacts } from "./view.mjs";
import { showProblem, size } from "./view.mjs";

const MAX_PIXELS = 50_000_000; // as lenet_edge_runtime/images.py

async function fetched(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: the server says ${response.status}`);
  return response;
}

async function open() {
  const model = await (await fetched("model.json")).json();
  element("title").textContent = model.title;
  document.title = `${model.title} · lenet-edge`;
  element("status").textContent = `Loading ${model.engine.title} (${size(model.engine.bytes)}) …`;
  const known = decode(await (await fetched("known-answers.json")).json());
  const bytes = new Uint8Array(await (await fetched(encodeURIComponent(model.engine.source))).arrayBuffer());
  const digest = await sha256(bytes);
  if (digest !== null && digest !== model.engine.sha256) {
    throw new Error(`${model.engine.source} is not the file that this page was made for: its SHA-256 is ${digest}`);
  }
  const { load } = await import(new URL(model.engine.module, document.baseURI).href);
  const engine = await load(bytes);
  await engine.predict(known.pixels); // the first call is slow; it is no one's answer
  return { model, known, engine, isChecked: digest !== null };
}

class App {
  constructor({ model, known, engine, isChecked }) {
    Object.assign(this, { model, known, engine, wanted: null, isBusy: false });
    buildBars(model.labels);
    buildExamples(known, model, (i) => this.example(i));
    this.describe(isChecked);
    this.forget();
    const isDrawn = model.fit === "mnist"; // written signs, not photos of things
    this.pad = isDrawn ? new Pad(element("pad"), (...args) => this.drawn(...args), (text) => this.remark(text)) : null;
    element("pad").hidden = element("undo").hidden = element("pad-help").hidden = !isDrawn;
    element("drop").hidden = isDrawn;
    element("input-heading").textContent = isDrawn ? "Draw, or give it an image" : "Give it an image";
    element("clear").addEventListener("click", () => this.clear());
    element("undo").addEventListener("click", () => this.pad.undo());
    element("replay").addEventListener("click", () => this.replay());
    element("replay").disabled = false;
    this.listenForImages();
    element("status").textContent = "";
    document.documentElement.dataset.ready = "true";
  }

  describe(isChecked) {
    const { model } = this;
    const { accuracy, engine } = model;
    element("lead").textContent =
      `A neural network of ${size(model.bytes)} that runs in this page, on your machine. It tells these apart: ` +
      `${model.labels.join(", ")}.`;
    element("proof-text").textContent =
      `With the file came ${this.known.count} images and the answers it gave when it was checked. ` +
      `Have this very browser give them again.`;
    showFacts([
      ["File", link(model.file, encodeURIComponent(model.file))],
      ["Size", `${model.bytes.toLocaleString("en")} bytes`],
      ["SHA-256", code(model.sha256)],
      ["Loaded bytes", isChecked ? "their SHA-256 is the expected one" : "not checked: browsers only do so over https or on this machine"],
      ...(accuracy ? [["Accuracy", `${percent(accuracy.accuracy, 2)} of ${accuracy.images.toLocaleString("en")} ${accuracy.split} images of ${accuracy.dataset}`]] : []),
      ["Runs on", `${engine.title}, one thread; ${size(engine.bytes)} loaded in all`],
    ]);
  }

  forget() {
    const { model } = this;
    this.wanted = null;
    showBars(null);
    showAnswer("–", "nothing yet");
    pressExample(null);
    element("time").textContent = "";
    element("seen").ariaLabel = "The pixels that the net sees: none yet";
    paint(element("seen"), new Uint8Array(model.width * model.height), model);
    this.showChosen(null);
  }

  clear() {
    this.pad?.clear();
    this.remark("");
    this.forget();
  }

  drawn(strokes, isDone) {
    if (strokes.length === 0) return this.forget();
    pressExample(null);
    this.showChosen(null);
    return this.show(fitImage(rasterise(strokes), this.model).pixels, isDone);
  }

  example(i) {
    this.pad?.clear();
    this.remark("");
    this.showChosen(null);
    pressExample(i);
    return this.show(this.known.imageOf(i), true);
  }

  /** Answer the latest image; while the engine works, only the last one asked for waits. */
  async show(pixels, isDone) {
    this.wanted = { pixels, isDone };
    element("time").textContent = ""; // that of another image
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      while (this.wanted) {
        const job = this.wanted;
        this.wanted = null;
        await this.answer(job);
      }
    } catch (error) {
      showProblem(`The net could not be run: ${error.message}`);
    } finally {
      this.isBusy = false;
    }
  }

  async answer(job) {
    const { labels } = this.model;
    // While a stroke is drawn the answer changes with every move: screen readers are kept quiet until it ends.
    element("answer").ariaBusy = String(!job.isDone);
    const logits = await this.engine.predict(job.pixels);
    const probabilities = softmax(logits);
    const best = probabilities.indexOf(Math.max(...probabilities));
    showBars(probabilities);
    if (isKnown(logits, this.model.threshold)) showAnswer(labels[best], percent(probabilities[best]));
    else showAnswer("none of these", `nearest: ${labels[best]}`);
    paint(element("seen"), job.pixels, this.model);
    element("seen").ariaLabel = "The pixels that the net sees";
    if (!job.isDone) return;
    const { milliseconds, calls } = await time(this.engine, job.pixels);
    element("time").textContent = `${milliseconds.toPrecision(2)} ms an image (mean of ${calls} calls)`;
  }

  async replay() {
    const output = element("verdict");
    element("replay").disabled = true;
    try {
      const result = await replay(this.engine, this.known);
      output.textContent = verdict(result);
      output.className = result.passed ? "passed" : "failed";
    } catch (error) {
      output.textContent = `Fail: the net could not be run (${error.message}).`;
      output.className = "failed";
    }
    element("replay").disabled = false;
    element("replay").focus();
  }

  listenForImages() {
    const chosen = (files) => {
      const [image] = [...files].filter((file) => file.type.startsWith("image/"));
      if (image) this.image(image);
      else if (files.length) showProblem("That is no image. Choose a PNG, JPEG, WebP or GIF file.");
    };
    element("file").addEventListener("change", (event) => {
      chosen(event.target.files);
      event.target.value = ""; // so that the same file can be chosen again
    });
    addEventListener("paste", (event) => chosen(event.clipboardData.files));
    addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dragging");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("dragging");
    });
    addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dragging");
      chosen(event.dataTransfer.files);
    });
  }

  async image(file) {
    showProblem("");
    try {
      const { canvas, data } = await decodeImage(file);
      const { pixels, inverted } = fitImage(toGrey(data), this.model);
      this.pad?.clear();
      this.showChosen(canvas);
      pressExample(null);
      this.remark(`${file.name}: ${data.width} × ${data.height} pixels` + (inverted ? `, inverted: the training images are ${this.model.polarity.replaceAll("-", " ")}.` : "."));
      await this.show(pixels, true);
    } catch (error) {
      showProblem(`${file.name} is not an image that can be used (${error.message}).`);
    }
  }

  /** Show an image on the pad, or in the place for it; null: none. */
  showChosen(canvas) {
    element("drop-text").hidden = canvas !== null;
    this.pad?.cover(canvas !== null);
    const shown = element("chosen");
    shown.hidden = canvas === null;
    if (!canvas) return;
    Object.assign(shown, { width: canvas.width, height: canvas.height });
    shown.getContext("2d").drawImage(canvas, 0, 0);
  }

  remark(text) {
    element("remark").textContent = text;
  }
}

async function decodeImage(file) {
  // Upright, and as Pillow decodes: no colour management.
  const options = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
  const source = await createImageBitmap(file, options);
  const { width, height } = source;
  if (width * height > MAX_PIXELS) throw new Error(`${width} x ${height} pixels: scale it down first`);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  return { canvas, data: context.getImageData(0, 0, width, height) };
}

try {
  new App(await open());
} catch (error) {
  element("status").textContent = "";
  showProblem(`The model could not be loaded: ${error.message}`);
}
