// The drawing pad: strokes by pointer (finger, mouse, pen) or by keyboard, kept as points in [0, 1] x [0, 1].

const STEP = 0.04; // of the keyboard's pen, a twenty-fifth of the pad
const PEN = 0.075; // what is shown; the net gets its own

export class Pad {
  /** `changed(strokes, isDone)` is called as the drawing grows, with isDone when a stroke ends; `say` speaks. */
  constructor(canvas, changed, say) {
    Object.assign(this, { canvas, changed, say, strokes: [], pointer: null, pen: { x: 0.5, y: 0.3, isDown: false } });
    this.showsPen = this.isCovered = false;
    canvas.addEventListener("pointerdown", (event) => this.start(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.end(event));
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("blur", () => this.hidePen());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
  }

  clear() {
    this.strokes = [];
    this.pen.isDown = false;
    this.draw();
  }

  /** Say whether something else lies on the pad, which then does not invite to draw. */
  cover(isCovered) {
    if (isCovered === this.isCovered) return;
    this.isCovered = isCovered;
    this.draw();
  }

  undo() {
    this.strokes.pop();
    this.pen.isDown = false;
    this.draw();
    this.changed(this.strokes, true);
  }

  start(event) {
    if (this.pointer !== null || event.button !== 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.hidePen();
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([this.pointOf(event)]);
    this.draw();
    this.changed(this.strokes, false);
  }

  move(event) {
    if (event.pointerId !== this.pointer) return;
    // Browsers bundle the moves of a frame; quick curves need all of them.
    const moves = event.getCoalescedEvents?.() ?? [];
    for (const move of moves.length ? moves : [event]) this.strokes.at(-1).push(this.pointOf(move));
    this.draw();
    this.changed(this.strokes, false);
  }

  end(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.changed(this.strokes, true);
  }

  press(event) {
    const step = event.shiftKey ? STEP / 4 : STEP;
    const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in ways) this.movePen(...ways[event.key]);
    else if (event.key === " " || event.key === "Enter") this.togglePen();
    else if ((event.ctrlKey || event.metaKey) && event.key === "z") this.undo();
    else if (event.key === "Delete" || event.key === "Backspace") this.wipe();
    else return;
    event.preventDefault();
  }

  movePen(dx, dy) {
    const inside = (value) => Math.max(0, Math.min(1, value));
    this.pen.x = inside(this.pen.x + dx);
    this.pen.y = inside(this.pen.y + dy);
    this.showsPen = true;
    if (this.pen.isDown) this.strokes.at(-1).push([this.pen.x, this.pen.y]);
    this.draw();
    if (this.pen.isDown) this.changed(this.strokes, false);
  }

  togglePen() {
    this.pen.isDown = !this.pen.isDown;
    this.showsPen = true;
    if (this.pen.isDown) this.strokes.push([[this.pen.x, this.pen.y]]);
    this.say(this.pen.isDown ? "Pen down" : "Pen up");
    this.draw();
    this.changed(this.strokes, !this.pen.isDown);
  }

  wipe() {
    this.clear();
    this.say("Cleared");
    this.changed(this.strokes, true);
  }

  hidePen() {
    this.showsPen = false;
    if (this.pen.isDown) this.togglePen();
    this.showsPen = false;
    this.draw();
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const side = this.canvas.width;
    const style = getComputedStyle(this.canvas);
    context.clearRect(0, 0, side, side);
    Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: PEN * side, strokeStyle: style.color });
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(stroke[0][0] * side, stroke[0][1] * side);
      for (const [x, y] of stroke) context.lineTo(x * side, y * side);
      context.stroke();
    }
    if (this.strokes.length === 0 && !this.isCovered) this.invite(context, side, style);
    if (this.showsPen) this.drawPen(context, side, style);
  }

  invite(context, side, style) {
    Object.assign(context, { textAlign: "center", textBaseline: "middle", fillStyle: style.getPropertyValue("--soft") });
    context.font = `${side / 18}px ${style.fontFamily}`;
    context.fillText("draw here", side / 2, side / 2);
  }

  drawPen(context, side, style) {
    const colour = style.getPropertyValue("--accent");
    context.beginPath();
    context.arc(this.pen.x * side, this.pen.y * side, (PEN * side) / 2, 0, 2 * Math.PI);
    Object.assign(context, { lineWidth: side / 100, strokeStyle: colour, fillStyle: colour });
    context.stroke();
    if (this.pen.isDown) context.fill();
  }
}
