// @ts-check
/** What has been drawn, as vectors with an undo history (the memento pattern). Knows no canvas.
 *
 * Lengths are in units of PAPER: the paper is a square of 280 of them, whatever size it has on a screen.
 *
 * @typedef {[x: number, y: number, pressure: number]} Point
 *
 * @typedef {object} Stroke
 * @property {readonly Point[]} points
 * @property {number} size width of the pen
 * @property {boolean} erases
 * @property {boolean} pressed the pressures are a pen's own, and need not be guessed from its speed
 *
 * @typedef {object} Photo
 * @property {Blob} file as it was chosen
 * @property {ImageBitmap | null} bitmap upright, perhaps reduced; null where this browser cannot show it
 * @property {number} width
 * @property {number} height of the file's picture, in its own pixels
 *
 * @typedef {object} Drawing
 * @property {readonly Stroke[]} strokes
 * @property {Photo | null} photo below the strokes
 */

export const PAPER = 280;
const STEPS = 500; // that can be undone

/** @type {Drawing} */
const EMPTY = { strokes: [], photo: null };

export class Ink {
  /** @type {Drawing[]} */
  #history = [EMPTY];
  #present = 0;

  /** @returns {Drawing} */
  get drawing() {
    return this.#history[this.#present] ?? EMPTY;
  }

  get isEmpty() {
    return this.drawing.photo === null && this.drawing.strokes.every((stroke) => stroke.erases);
  }

  get canUndo() {
    return this.#present > 0;
  }

  get canRedo() {
    return this.#present < this.#history.length - 1;
  }

  /** @param {Stroke} stroke */
  add(stroke) {
    this.#do({ ...this.drawing, strokes: [...this.drawing.strokes, stroke] });
  }

  /** Begin anew, on empty paper, with strokes or on a photo. It can be undone.
   *  @param {Partial<Drawing>} drawing */
  replace(drawing = {}) {
    this.#do({ ...EMPTY, ...drawing });
  }

  undo() {
    if (this.canUndo) this.#present -= 1;
  }

  redo() {
    if (this.canRedo) this.#present += 1;
  }

  /** @param {Drawing} drawing */
  #do(drawing) {
    this.#history = [...this.#history.slice(Math.max(0, this.#present + 1 - STEPS), this.#present + 1), drawing];
    this.#present = this.#history.length - 1;
  }
}
