// @ts-check
/** A canvas that one draws on with a mouse, a finger, a pen or the arrow keys (a view and controller of Ink).
 *
 * It dispatches `draw` while a stroke grows, `settle` when one has ended or anything else has changed, and `cell` when
 * the keyboard's cursor has moved.
 */

import { getStroke } from "../vendor/perfect-freehand/perfect-freehand.js";
import { Ink, PAPER } from "./ink.js";

/** @typedef {import("./ink.js").Point} Point */
/** @typedef {import("./ink.js").Stroke} Stroke */
/** @typedef {import("./ink.js").Photo} Photo */

/** What is sent, and where it lies: its pixel (x, y) is the paper's point (left + scale x, top + scale y).
 * @typedef {object} Snapshot
 * @property {Blob} file
 * @property {number} left
 * @property {number} top
 * @property {number} scale
 */

const LONGEST = 1024; // pixels of a photo that was drawn upon, when it is sent
const CELLS = 20; // on a side, that the arrow keys go through

export class DrawingPad extends EventTarget {
  ink = new Ink();
  /** Width of the pen, in units of the paper. */
  size = 20;
  erasing = false;
  /** Where the keyboard's cursor is. */
  cell = { row: 9, column: 9 };

  #canvas;
  #layer = document.createElement("canvas"); // the strokes that have ended
  /** @type {Stroke | null} */ #stroke = null;
  #pointer = -1;
  #penSeen = 0;
  #frame = 0;
  #keyboard = false;
  #opened = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.#canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#continue(event));
    canvas.addEventListener("pointerup", (event) => this.#end(event));
    canvas.addEventListener("pointercancel", (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#press(event));
    canvas.addEventListener("blur", () => this.#showCursor(false));
    new ResizeObserver(() => this.fit()).observe(canvas);
  }

  get isDrawing() {
    return this.#stroke !== null;
  }

  undo() {
    this.#change(() => this.ink.undo());
  }

  redo() {
    this.#change(() => this.ink.redo());
  }

  clear() {
    if (!this.ink.isEmpty) this.#change(() => this.ink.replace());
  }

  /** @param {readonly Stroke[]} strokes */
  draw(strokes) {
    this.#change(() => this.ink.replace({ strokes }));
  }

  /** Rub out dots of a size. @param {readonly Point[]} middles @param {number} size */
  rub(middles, size) {
    const dots = middles.map((point) => ({ points: [point], size, erases: true, pressed: false }));
    const { strokes, photo } = this.ink.drawing;
    this.#change(() => this.ink.replace({ strokes: [...strokes, ...dots], photo }));
  }

  /** Show a photo, or whatever file it is: the server says what it cannot read. @param {Blob} file */
  async open(file) {
    const turn = (this.#opened += 1);
    const photo = await loaded(file);
    if (turn === this.#opened) this.#change(() => this.ink.replace({ photo }));
  }

  /** Leave the stroke that has not ended, since nobody will tell of its end. */
  release() {
    this.#stroke = null;
    this.#pointer = -1;
    this.#later();
  }

  /** Draw anew, after colours or the size have changed. */
  redraw() {
    this.#paintLayer();
    this.#paint();
  }

  /** The picture as it is sent: black ink on white paper, or the photo. Null where there is none.
   *  @returns {Promise<Snapshot | null>} */
  async snapshot() {
    const { strokes, photo } = this.ink.drawing;
    const all = this.#stroke ? [...strokes, this.#stroke] : strokes;
    if (photo === null) {
      if (!all.some((stroke) => !stroke.erases)) return null;
      return { file: await rendered(PAPER, PAPER, 1, 0, 0, null, all), left: 0, top: 0, scale: 1 };
    }
    const frame = frameOf(photo);
    if (photo.bitmap === null || all.length === 0) return { file: photo.file, ...frame };
    const { width, height } = photo.bitmap;
    const scale = PAPER / Math.max(width, height);
    return { file: await rendered(width, height, 1 / scale, frame.left, frame.top, photo, all), ...frame, scale };
  }

  /** @param {() => void} act */
  #change(act) {
    act();
    this.redraw();
    this.dispatchEvent(new Event("settle"));
  }

  /** Take as many pixels as the screen has for it. */
  fit() {
    const side = Math.max(1, Math.round(this.#canvas.clientWidth * devicePixelRatio));
    if (this.#canvas.width === side) return;
    for (const canvas of [this.#canvas, this.#layer]) canvas.width = canvas.height = side;
    this.redraw();
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.pointerType === "pen") this.#penSeen = event.timeStamp;
    const isPalm = event.pointerType === "touch" && this.#penSeen > 0 && event.timeStamp - this.#penSeen < 3000;
    if (event.button > 0 && event.button !== 5) return;
    if (isPalm || this.#stroke) return;
    event.preventDefault(); // no selection, no mouse events after a touch
    this.#canvas.focus({ preventScroll: true, focusVisible: false });
    this.#showCursor(false);
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    const erases = this.erasing || event.button === 5; // the rubber at a pen's end
    this.#stroke = { points: [this.#point(event)], size: this.#width(erases), erases, pressed: event.pointerType === "pen" };
    this.#later();
    this.dispatchEvent(new Event("draw"));
  }

  /** @param {PointerEvent} event */
  #continue(event) {
    if (event.pointerType === "pen") this.#penSeen = event.timeStamp;
    if (!this.#stroke || event.pointerId !== this.#pointer) return;
    const several = event.getCoalescedEvents?.() ?? [];
    const points = (several.length ? several : [event]).map((one) => this.#point(one));
    this.#stroke = { ...this.#stroke, points: [...this.#stroke.points, ...points] };
    this.#later();
    this.dispatchEvent(new Event("draw"));
  }

  /** @param {PointerEvent} event */
  #end(event) {
    const stroke = this.#stroke;
    if (!stroke || event.pointerId !== this.#pointer) return;
    this.#stroke = null;
    this.#pointer = -1;
    this.#change(() => this.ink.add(stroke));
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const { key } = event;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z") {
      event.preventDefault();
      if (event.shiftKey) this.redo();
      else this.undo();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
    if (step) {
      const [down = 0, right = 0] = step;
      const before = this.cell;
      this.cell = { row: within(before.row + down), column: within(before.column + right) };
      if (event.shiftKey) this.#dot([before, this.cell], this.erasing);
    } else if (key === " " || key === "Enter") {
      this.#dot([this.cell], this.erasing);
    } else if (key === "Delete" || key === "Backspace") {
      this.#dot([this.cell], true);
    } else {
      return;
    }
    event.preventDefault();
    this.#showCursor(true);
    this.dispatchEvent(new Event("cell"));
  }

  /** A short stroke through the middles of cells. @param {{row: number, column: number}[]} through @param {boolean} erases */
  #dot(through, erases) {
    const unit = PAPER / CELLS;
    const points = through.map(({ row, column }) => /** @type {Point} */ ([(column + 0.5) * unit, (row + 0.5) * unit, 0.5]));
    this.#change(() => this.ink.add({ points, size: this.#width(erases), erases, pressed: false }));
  }

  /** @param {boolean} erases */
  #width(erases) {
    return erases ? this.size * 1.6 : this.size;
  }

  /** @param {PointerEvent} event @returns {Point} */
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const unit = PAPER / box.width;
    return [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit, event.pressure || 0.5];
  }

  /** @param {boolean} visible */
  #showCursor(visible) {
    this.#keyboard = visible;
    this.#later();
  }

  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#paint();
    });
  }

  #paintLayer() {
    const context = cleared(this.#layer);
    const { strokes, photo } = this.ink.drawing;
    const unit = this.#layer.width / PAPER;
    context.setTransform(unit, 0, 0, unit, 0, 0);
    if (photo?.bitmap) drawPhoto(context, photo);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    for (const stroke of strokes) drawStroke(context, stroke, photo);
  }

  #paint() {
    const context = cleared(this.#canvas);
    context.drawImage(this.#layer, 0, 0);
    const unit = this.#canvas.width / PAPER;
    context.setTransform(unit, 0, 0, unit, 0, 0);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    if (this.#stroke) drawStroke(context, this.#stroke, this.ink.drawing.photo);
    if (!this.#keyboard) return;
    const side = PAPER / CELLS;
    context.lineWidth = 2;
    context.strokeStyle = getComputedStyle(this.#canvas).accentColor;
    context.strokeRect(this.cell.column * side, this.cell.row * side, side, side);
  }
}

/** @param {number} index */
function within(index) {
  return Math.min(CELLS - 1, Math.max(0, index));
}

/** @param {HTMLCanvasElement} canvas */
function cleared(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser gives no 2d canvas");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

/** A large photo is reduced, for it is drawn anew again and again. @param {Blob} file @returns {Promise<Photo>} */
async function loaded(file) {
  const whole = await createImageBitmap(file).catch(() => null);
  if (whole === null) return { file, bitmap: null, width: 0, height: 0 };
  const { width, height } = whole;
  const reduced = LONGEST / Math.max(width, height);
  if (reduced >= 1) return { file, bitmap: whole, width, height };
  const size = { resizeWidth: Math.max(1, Math.round(width * reduced)), resizeHeight: Math.max(1, Math.round(height * reduced)) };
  const bitmap = await createImageBitmap(whole, { ...size, resizeQuality: "medium" });
  whole.close();
  return { file, bitmap, width, height };
}

/** Where a photo lies on the paper: whole, and in the middle. @param {Photo} photo */
function frameOf({ width, height }) {
  const scale = PAPER / Math.max(1, width, height);
  return { left: (PAPER - scale * width) / 2, top: (PAPER - scale * height) / 2, scale };
}

/** @param {CanvasRenderingContext2D} context @param {Photo} photo */
function drawPhoto(context, photo) {
  const { left, top } = frameOf(photo);
  if (photo.bitmap) context.drawImage(photo.bitmap, left, top, PAPER - 2 * left, PAPER - 2 * top);
}

/** Fill a stroke with the context's colour. What erases takes ink away; on a photo it paints paper.
 *  @param {CanvasRenderingContext2D} context @param {Stroke} stroke @param {Photo | null} photo */
function drawStroke(context, { points, size, erases, pressed }, photo) {
  const outline = getStroke(points, {
    size, thinning: pressed ? 0.6 : 0.15, smoothing: 0.5, streamline: 0.3, simulatePressure: !pressed, last: true,
  });
  const path = new Path2D();
  outline.forEach(([x, y], place) => (place ? path.lineTo(x ?? 0, y ?? 0) : path.moveTo(x ?? 0, y ?? 0)));
  path.closePath();
  context.save();
  if (erases && photo?.bitmap) context.fillStyle = paperOf(photo.bitmap);
  else if (erases) context.globalCompositeOperation = "destination-out";
  context.fill(path);
  context.restore();
}

/** @type {WeakMap<ImageBitmap, string>} */
const papers = new WeakMap();

/** The middle of all colours of a photo: that of its paper, since ink covers little. @param {ImageBitmap} bitmap */
function paperOf(bitmap) {
  const known = papers.get(bitmap);
  if (known !== undefined) return known;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 32;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context?.drawImage(bitmap, 0, 0, 32, 32);
  const data = context?.getImageData(0, 0, 32, 32).data ?? new Uint8ClampedArray(4);
  const middle = (/** @type {number} */ channel) => data.filter((_, place) => place % 4 === channel).sort()[512] ?? 255;
  const colour = `rgb(${middle(0)} ${middle(1)} ${middle(2)})`;
  papers.set(bitmap, colour);
  return colour;
}

/** A PNG of black strokes on white, or on a photo.
 *  @param {number} width @param {number} height of the PNG @param {number} unit its pixels for one of the paper
 *  @param {number} left @param {number} top where the PNG begins on the paper
 *  @param {Photo | null} photo @param {readonly Stroke[]} strokes @returns {Promise<Blob>} */
function rendered(width, height, unit, left, top, photo, strokes) {
  const [ink, page] = [document.createElement("canvas"), document.createElement("canvas")];
  for (const canvas of [ink, page]) {
    canvas.width = Math.round(width);
    canvas.height = Math.round(height);
  }
  const [strokesOn, context] = [cleared(ink), cleared(page)];
  strokesOn.setTransform(unit, 0, 0, unit, -left * unit, -top * unit);
  if (photo) drawPhoto(strokesOn, photo);
  for (const stroke of strokes) drawStroke(strokesOn, stroke, photo);
  context.fillStyle = "white";
  context.fillRect(0, 0, page.width, page.height);
  context.drawImage(ink, 0, 0);
  return new Promise((resolve, reject) => {
    page.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the drawing cannot be saved"))), "image/png");
  });
}
