// @ts-check
/** Cards with a map each: the digit in grey, the heat over it, a legend, and the value under the pointer (views). */

import { h } from "../element/dom.js";
import { cells, heat, limitOf, painted } from "../element/heat.js";

/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("../element/pad.js").Snapshot} Snapshot */
/** @typedef {import("./words.js").PageWords} PageWords */
/** @typedef {{opacity: number, threshold: number}} Look */

const SIDE = 280;
const AROUND = 1.1; // how much of the picture is shown, of what the net saw
/** @type {Record<string, [right: number, down: number]>} */
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** The limits of maps that may be compared by their colours: equal units share one, of cells and of pixels apart,
 *  since a cell's value is that of many pixels.
 *  @param {readonly Explanation[]} explanations */
export function sharedLimits(explanations) {
  /** @type {Map<string, number>} */
  const limits = new Map();
  for (const { explanation } of explanations) {
    const own = limitOf(painted(explanation), explanation.signed);
    limits.set(kind(explanation), Math.max(limits.get(kind(explanation)) ?? 0, own));
  }
  return limits;
}

/** @param {Explanation["explanation"]} attribution */
function kind({ unit, signed, painted }) {
  return `${unit} ${signed} ${painted}`;
}

/** @param {Explanation} answer @param {ImageBitmap | null} picture that was sent; null where the browser cannot show it
 *  @param {Map<string, number>} limits
 *  @param {Look} look @param {PageWords} words @param {readonly string[]} classes labels of the net
 *  @param {string} title @param {string[]} sentences */
export function mapCard(answer, picture, limits, look, words, classes, title, sentences) {
  const { explanation, preprocessing, target } = answer;
  const values = painted(explanation);
  const limit = limits.get(kind(explanation)) ?? 0;
  const threshold = limit && (look.threshold * limitOf(values, explanation.signed)) / limit; // of its own strongest
  const canvas = h("canvas", { width: String(SIDE), height: String(SIDE), role: "img", "aria-label": answer.alt, tabindex: "0" });
  const context = canvas.getContext("2d");
  const [a, b, c, d, e, f] = preprocessing.transform;
  const inPicture = new DOMMatrix([a, d, b, e, c, f]);
  const [columns, rows] = [values[0]?.length ?? 1, values.length];
  const middle = new DOMPoint(columns / 2, rows / 2).matrixTransform(inPicture);
  const unit = SIDE / (AROUND * Math.max(columns * Math.hypot(a, d), rows * Math.hypot(b, e)));
  const sent = new DOMMatrix([unit, 0, 0, unit, SIDE / 2 - unit * middle.x, SIDE / 2 - unit * middle.y]);
  const model = sent.multiply(inPicture);
  if (context) {
    context.fillStyle = "white";
    context.fillRect(0, 0, SIDE, SIDE);
    context.filter = "grayscale(1)";
    context.setTransform(sent);
    if (picture) context.drawImage(picture, 0, 0);
    context.filter = "none";
    context.imageSmoothingEnabled = false;
    context.globalAlpha = look.opacity;
    context.setTransform(model);
    context.drawImage(cells(values, limit, explanation.signed, threshold), 0, 0);
  }
  const output = h("output", { class: "small quiet" });
  let [column, row] = [Math.floor(columns / 2), Math.floor(rows / 2)]; // that the arrow keys go from
  const tell = (/** @type {number} */ x, /** @type {number} */ y) => {
    const value = values[y]?.[x];
    output.textContent = value === undefined ? "" : words.here(minus(value.toPrecision(3)), explanation.unit.replaceAll("_", " "));
  };
  const point = (/** @type {PointerEvent} */ { clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    const place = new DOMPoint(((clientX - box.left) * SIDE) / box.width, ((clientY - box.top) * SIDE) / box.height);
    const { x, y } = place.matrixTransform(model.inverse());
    tell(Math.floor(x), Math.floor(y));
  };
  canvas.addEventListener("pointerdown", point); // a finger that only taps
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("keydown", (event) => {
    const [right, down] = ARROWS[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    [column, row] = [within(column + right, columns), within(row + down, rows)];
    tell(column, row);
  });
  canvas.addEventListener("pointerleave", ({ pointerType }) => {
    if (pointerType !== "touch") output.textContent = ""; // a finger that is lifted leaves, too
  });
  const [pro, contra] = [target.class, target.versus].map((index) => (index === null ? null : (classes[index] ?? String(index))));
  const against = contra ? words.forIt(contra) : words.against(pro ?? "");
  const ends = explanation.signed ? [against, words.forIt(pro ?? "")] : [words.weak, words.strong];
  return h("figure", { class: "card" },
    h("h3", {}, title), canvas, legend(limit, explanation.signed, ends), output,
    h("div", {}, ...sentences.map((sentence) => h("p", { class: "small quiet" }, sentence))));
}

/** @param {number} index @param {number} count */
function within(index, count) {
  return Math.min(count - 1, Math.max(0, index));
}

/** A number with the sign that is as wide as a plus. @param {string} number */
export function minus(number) {
  return number.replaceAll("-", "−");
}

/** Zero lies in the middle of a signed scale. @param {number} limit @param {boolean} signed @param {string[]} ends */
function legend(limit, signed, ends) {
  const bar = h("canvas", { width: "101", height: "1", "aria-hidden": "true" });
  const context = bar.getContext("2d");
  for (let place = 0; place <= 100; place += 1) {
    const [red, green, blue, opacity] = heat(signed ? place / 50 - 1 : place / 100, signed);
    if (context) context.fillStyle = `rgb(${red} ${green} ${blue} / ${opacity})`;
    context?.fillRect(place, 0, 1, 1);
  }
  const size = limit.toPrecision(2);
  const [from, to] = signed ? [`−${size}`, `+${size}`] : ["0", size];
  return h("div", {}, h("div", { class: "legend" }, h("span", {}, from), bar, h("span", {}, to)),
    h("div", { class: "legend quiet" }, h("span", {}, ends[0] ?? ""), h("span"), h("span", {}, ends[1] ?? "")));
}

/** How sure the numbers are, in words. @param {Explanation} answer @param {PageWords} words @returns {string[]} */
export function certificate({ explanation }, words) {
  const { state, stderr_max: error, local_r2: fit } = explanation.certificate;
  const sentences = [];
  if (state === "exact") sentences.push(words.states.exact);
  else if (state === "partial") sentences.push(words.states.partial);
  else sentences.push(error === null ? words.states.approximate : words.states.sampled(error.toPrecision(2)));
  if (fit !== null) sentences.push(words.fit(`${Math.round(fit * 100)} %`));
  return sentences;
}
