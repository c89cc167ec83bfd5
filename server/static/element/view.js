// @ts-check
/** All that is seen of <inkling-digit>: its shadow tree, brought into line with a state (a passive view).
 *
 * @typedef {import("./inkling-digit.d.ts").Prediction} Prediction
 * @typedef {import("./inkling-digit.d.ts").Explanation} Explanation
 *
 * @typedef {object} State
 * @property {import("./pad.js").DrawingPad} pad
 * @property {Prediction | null} prediction
 * @property {Explanation | null} explanation
 * @property {import("./pad.js").Snapshot | null} sent what the answers are about
 * @property {number | null} target
 * @property {number | null} versus
 * @property {readonly string[]} labels of the classes
 * @property {{error: import("./client.js").InklingError, wait: number | null} | null} failure wait: seconds until it is
 *   tried again by itself
 * @property {boolean} explains unless the server has said that it only predicts
 */

import { percent, ProbabilityBars } from "./bars.js";
import { passes } from "./client.js";
import { h, icon, ICONS } from "./dom.js";
import { cells, limitOf, painted } from "./heat.js";
import { PAPER } from "./ink.js";
import { STYLE } from "./style.js";
import { explained, wordsFor } from "./words.js";

const SPOKEN = 1000; // milliseconds between two announcements at least

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

export class DigitView {
  words = wordsFor("en").words;

  canvas = h("canvas", { class: "pad", part: "pad", tabindex: "0", role: "application" });
  map = h("canvas", { class: "map", part: "map", "aria-hidden": "true" });
  #hint = h("div", { class: "hint", part: "hint" });
  paper = h("div", { class: "paper", part: "paper" }, this.canvas, this.map, this.#hint);
  undo = button(ICONS.undo);
  redo = button(ICONS.redo);
  clear = button(ICONS.clear);
  erase = button(ICONS.erase);
  size = h("input", { type: "range", min: "8", max: "40", step: "2", value: "20" });
  file = h("input", { type: "file", accept: "image/*" });
  #fileLabel = h("label", { class: "file" }, icon(ICONS.file), this.file);
  #tools = h("div", { class: "tools", part: "tools", role: "group" },
    this.undo, this.redo, this.clear, this.erase, this.size, this.#fileLabel);
  #answer = h("p", { class: "answer", part: "answer" });
  #bars;
  #notes = h("ul", { class: "notes", part: "notes" });
  #error = h("p", { class: "error", part: "error", role: "alert" });
  again = h("button", { type: "button", class: "words", part: "button" });
  method = h("select", { part: "method" });
  #methodLabel = h("span");
  strength = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.85" });
  #strengthLabel = h("span");
  #title = h("h2");
  #alt = h("p", { part: "alt" });
  #colours = h("p", { class: "quiet" });
  #settings = h("div", { class: "settings" },
    h("label", {}, this.#methodLabel, this.method), h("label", {}, this.#strengthLabel, this.strength));
  #why = h("section", { class: "why", part: "why" }, this.#title, this.#alt, this.#colours, this.#settings);
  #live = h("div", { class: "live", "aria-live": "polite" });
  #result;
  #layout;
  #spokenAt = 0;
  /** @type {Map<"cell" | "answer", string>} */ #unsaid = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #speaking;

  /** @param {ShadowRoot} root @param {(index: number) => void} onPick called with the class whose bar was chosen */
  constructor(root, onPick) {
    this.#bars = new ProbabilityBars(onPick);
    this.#result = h("div", {}, this.#answer, this.#bars.root, this.#notes, this.#error, this.again);
    this.#layout = h("div", { class: "layout" }, h("div", {}, this.paper, this.#tools), this.#result);
    root.adoptedStyleSheets = [sheet];
    root.append(this.#layout, h("slot"), this.#why, this.#live);
    this.strength.addEventListener("input", () => this.#fade());
  }

  /** Whether answers are being waited for. @param {boolean} busy */
  set busy(busy) {
    this.#result.setAttribute("aria-busy", String(busy));
  }

  /** Whether nothing can be used. @param {boolean} disabled */
  set disabled(disabled) {
    this.#layout.inert = this.#why.inert = disabled;
  }

  /** The method that is asked for; "" where none is. */
  get chosenMethod() {
    return this.#why.hidden ? "" : this.method.value;
  }

  /** @param {import("./words.js").Words} words @param {readonly string[]} labels */
  translate(words, labels) {
    this.words = words;
    for (const [control, name] of /** @type {const} */ ([
      [this.undo, words.undo], [this.redo, words.redo], [this.clear, words.clear], [this.erase, words.erase],
      [this.size, words.size], [this.file, words.file],
    ])) {
      control.setAttribute("aria-label", name);
      control.title = name;
    }
    this.#fileLabel.title = words.file;
    this.canvas.setAttribute("aria-label", words.pad);
    this.canvas.setAttribute("aria-description", words.padHelp);
    this.#tools.setAttribute("aria-label", words.tools);
    this.again.textContent = words.again;
    this.#methodLabel.textContent = words.method;
    this.#strengthLabel.textContent = words.strength;
    this.#bars.name(labels, words);
  }

  /** @param {readonly string[]} methods to choose from; none: no explanations */
  offer(methods) {
    this.method.replaceChildren(...methods.map((one) => h("option", { value: one }, one.replaceAll("_", " "))));
    this.#why.hidden = methods.length === 0;
    this.method.parentElement?.toggleAttribute("hidden", methods.length < 2);
  }

  /** @param {State} state */
  show(state) {
    const { pad, prediction, explanation } = state;
    const { ink } = pad;
    const { photo } = ink.drawing;
    this.undo.disabled = !ink.canUndo;
    this.redo.disabled = !ink.canRedo;
    this.clear.disabled = ink.isEmpty;
    this.erase.setAttribute("aria-pressed", String(pad.erasing));
    const unseen = photo !== null && photo.bitmap === null;
    this.#hint.hidden = (!ink.isEmpty || pad.isDrawing) && !unseen;
    this.#hint.textContent = unseen ? this.words.unseen(photo.file instanceof File ? photo.file.name : this.words.pasted) : this.words.hint;
    this.#bars.show(prediction?.probabilities ?? null);
    this.#bars.mark(state.target, state.versus);
    const said = prediction && this.words.answer(prediction.prediction.label, percent(prediction.prediction.probability));
    if (said && said !== this.#answer.textContent) this.say("answer", said);
    this.#answer.textContent = said ?? "";
    this.#notes.replaceChildren(...this.#warnings(prediction));
    this.#showFailure(state);
    this.#showWhy(state);
    this.map.hidden = explanation === null;
    if (explanation) this.#paintMap(explanation, state.sent);
  }

  /** Tell a screen reader, at most once a second, and always the last of each kind.
   *  @param {"cell" | "answer"} kind @param {string} text */
  say(kind, text) {
    this.#unsaid.set(kind, text);
    clearTimeout(this.#speaking);
    const wait = Math.max(0, this.#spokenAt + SPOKEN - performance.now());
    this.#speaking = setTimeout(() => {
      this.#spokenAt = performance.now();
      this.#live.textContent = [...this.#unsaid.values()].join(". ");
      this.#unsaid.clear();
    }, wait);
  }

  hush() {
    clearTimeout(this.#speaking);
  }

  /** @param {State} state */
  #showFailure({ failure, prediction, explains }) {
    const { words } = this;
    const never = failure?.error.code === "not_ready" && prediction !== null && !explains;
    const sentences = failure === null ? [] : [never ? words.errors.none : explained(failure.error, words)];
    if (failure?.wait && !never) sentences.push(words.inSeconds(failure.wait));
    const told = sentences.join(" ");
    if (told !== this.#error.textContent) this.#error.textContent = told; // once, for it is read aloud
    this.again.hidden = failure === null || failure.wait !== null || !passes(failure.error);
  }

  /** While the next reasons are worked out, those before stay, dimmed: nothing jumps. @param {State} state */
  #showWhy({ explanation, failure, pad, labels }) {
    const waiting = explanation === null && failure === null && !pad.ink.isEmpty;
    this.#why.setAttribute("aria-busy", String(waiting));
    if (waiting && this.#alt.textContent) return;
    this.#title.textContent = explanation ? this.#question(explanation, labels) : waiting ? this.words.asking : "";
    this.#title.hidden = this.#title.textContent === "";
    this.#alt.textContent = explanation?.alt ?? "";
    this.#colours.textContent = explanation ? this.#legend(explanation, labels) : "";
    this.#settings.hidden = explanation === null && this.method.options.length < 2;
  }

  /** @param {Prediction | null} prediction */
  #warnings(prediction) {
    if (!prediction) return [];
    const several = prediction.preprocessing.warnings.find((one) => one.startsWith("multiple-objects"));
    const texts = prediction.in_distribution.ok ? [] : [this.words.unlike];
    const labels = prediction.prediction_set?.labels ?? [];
    if (labels.length > 1) texts.push(this.words.either(labels));
    if (several) texts.push(this.words.several(/\d+/.exec(several)?.[0] ?? "2"));
    return texts.map((text) => h("li", { class: "warning" }, text));
  }

  /** @param {Explanation} explanation @param {readonly string[]} labels */
  #question({ target }, labels) {
    const label = labels[target.class] ?? target.label;
    return target.versus === null ? this.words.why(label) : this.words.whyNot(label, labels[target.versus] ?? "");
  }

  /** What the colours mean. @param {Explanation} explanation @param {readonly string[]} labels */
  #legend({ target, explanation }, labels) {
    const label = labels[target.class] ?? target.label;
    if (!explanation.signed) return this.words.unsigned;
    return target.versus === null ? this.words.signed(label) : this.words.contrast(label, labels[target.versus] ?? "");
  }

  /** @param {Explanation} explanation @param {State["sent"]} sent */
  #paintMap({ explanation, preprocessing }, sent) {
    if (sent === null) return;
    const values = painted(explanation);
    const picture = cells(values, limitOf(values, explanation.signed), explanation.signed);
    const side = this.canvas.width;
    this.map.width = this.map.height = side;
    const context = this.map.getContext("2d");
    if (!context) return;
    const unit = side / PAPER;
    const [a, b, c, d, e, f] = preprocessing.transform;
    context.imageSmoothingEnabled = false;
    context.setTransform(unit, 0, 0, unit, 0, 0);
    context.transform(sent.scale, 0, 0, sent.scale, sent.left, sent.top);
    context.transform(a, d, b, e, c, f);
    context.drawImage(picture, 0, 0);
    this.#fade();
  }

  #fade() {
    this.map.style.setProperty("--opacity", this.strength.value);
  }
}

/** @param {string} path */
function button(path) {
  return h("button", { type: "button", part: "button" }, icon(path));
}
