// @ts-check
/** <inkling-digit>: draw a digit, see what it is read as, and why (a custom element).
 *
 *     <script type="module" src="https://HOST/static/element/inkling-digit.js"></script>
 *     <inkling-digit live></inkling-digit>
 *
 * inkling-digit.d.ts describes its attributes, properties, events, parts and what an event holds.
 */

import { percent, ProbabilityBars } from "./bars.js";
import { InklingClient, InklingError, passes } from "./client.js";
import { h, icon, ICONS } from "./dom.js";
import { cells, limitOf, painted } from "./heat.js";
import { PAPER } from "./ink.js";
import { DrawingPad } from "./pad.js";
import { reflect, taken } from "./properties.js";
import { STYLE } from "./style.js";
import { explained, wordsFor } from "./words.js";

/** @typedef {import("./inkling-digit.d.ts").Prediction} Prediction */
/** @typedef {import("./inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("./pad.js").Snapshot} Snapshot */

const HOME = new URL("../../", import.meta.url); // the server that this file came from
const PAUSE = 80; // milliseconds between two live predictions at least
const SPOKEN = 1000; // milliseconds between two announcements at least
const TRIES = 3; // when the server is busy or cannot be reached
const AGAIN = 3; // seconds until the next try where the server does not say
const LONGEST = 3600; // seconds that are waited for, whatever the server says
const DIGITS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]; // until the server has told a net's classes

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

export class InklingDigit extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["endpoint", "model", "methods", "versus", "lang"];

  /** What a page had set before this script came. @type {Record<string, unknown>} */
  #early = taken(this);

  /** @type {string | null} */
  #key = null;
  /** Gives a key when one is needed, in place of `key`. @type {(() => Promise<string | null>) | null} */
  getToken = null;
  /** @type {Prediction | null} */
  prediction = null;
  /** @type {Explanation | null} */
  explanation = null;

  #internals = this.attachInternals();
  #client = new InklingClient(HOME, () => this.#token());
  #words = wordsFor("en");
  #pad;
  #bars = new ProbabilityBars((index) => this.#pick(index));
  /** @type {readonly string[]} */ #labels = DIGITS;
  /** @type {string | null} */ #labelled = null; // the net whose classes these are
  /** @type {number | null} */ #target = null; // chosen by a click; else the predicted class
  /** @type {number | null} */ #versus = null;
  /** @type {Snapshot | null} */ #sent = null;
  #asking = new AbortController(); // the requests for what is drawn now
  #underWay = false;
  #askedAt = 0;
  /** @type {{error: InklingError, wait: number | null, again: (tries: number) => void} | null} */
  #failure = null; // wait: seconds until it is tried again by itself
  #explains = true; // unless the server has said that it only predicts
  #dark = matchMedia("(prefers-color-scheme: dark)");
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #spokenAt = 0;
  /** @type {Map<"cell" | "answer", string>} */ #unsaid = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #speaking;

  // The parts of the shadow tree
  #canvas = h("canvas", { class: "pad", part: "pad", tabindex: "0", role: "application" });
  #map = h("canvas", { class: "map", part: "map", "aria-hidden": "true" });
  #hint = h("div", { class: "hint", part: "hint" });
  #paper = h("div", { class: "paper", part: "paper" }, this.#canvas, this.#map, this.#hint);
  #undo = button(ICONS.undo);
  #redo = button(ICONS.redo);
  #clear = button(ICONS.clear);
  #erase = button(ICONS.erase);
  #size = h("input", { type: "range", min: "8", max: "40", step: "2", value: "20" });
  #file = h("input", { type: "file", accept: "image/*" });
  #fileLabel = h("label", { class: "file" }, icon(ICONS.file), this.#file);
  #tools = h("div", { class: "tools", part: "tools", role: "group" },
    this.#undo, this.#redo, this.#clear, this.#erase, this.#size, this.#fileLabel);
  #answer = h("p", { class: "answer", part: "answer" });
  #notes = h("ul", { class: "notes", part: "notes" });
  #error = h("p", { class: "error", part: "error", role: "alert" });
  #again = h("button", { type: "button", class: "words", part: "button" });
  #result = h("div", {}, this.#answer, this.#bars.root, this.#notes, this.#error, this.#again);
  #layout = h("div", { class: "layout" }, h("div", {}, this.#paper, this.#tools), this.#result);
  #method = h("select", { part: "method" });
  #methodLabel = h("span");
  #strength = h("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0.85" });
  #strengthLabel = h("span");
  #title = h("h2");
  #alt = h("p", { part: "alt" });
  #colours = h("p", { class: "quiet" });
  #settings = h("div", { class: "settings" },
    h("label", {}, this.#methodLabel, this.#method), h("label", {}, this.#strengthLabel, this.#strength));
  #why = h("section", { class: "why", part: "why" }, this.#title, this.#alt, this.#colours, this.#settings);
  #live = h("div", { class: "live", "aria-live": "polite" });

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#layout, h("slot"), this.#why, this.#live);
    this.#pad = new DrawingPad(this.#canvas);
    this.#pad.addEventListener("draw", () => this.#drawn());
    this.#pad.addEventListener("settle", () => this.#settled());
    this.#pad.addEventListener("cell", () => this.#say("cell", this.#words.words.cell(this.#pad.cell.row + 1, this.#pad.cell.column + 1)));
    this.#undo.addEventListener("click", () => this.undo());
    this.#redo.addEventListener("click", () => this.redo());
    this.#clear.addEventListener("click", () => this.clear());
    this.#again.addEventListener("click", this.#retry);
    this.#erase.addEventListener("click", () => this.#useEraser(!this.#pad.erasing));
    this.#size.addEventListener("input", () => (this.#pad.size = this.#size.valueAsNumber));
    this.#strength.addEventListener("input", () => this.#fade());
    this.#method.addEventListener("change", () => this.#explainAnew());
    this.#file.addEventListener("change", () => {
      const [file] = this.#file.files ?? [];
      if (file) void this.open(file);
      this.#file.value = "";
    });
    this.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    this.#paper.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.#paper.classList.add("over");
    });
    this.#paper.addEventListener("dragleave", () => this.#paper.classList.remove("over"));
    this.#paper.addEventListener("drop", (event) => {
      this.#paper.classList.remove("over");
      this.#take(event, event.dataTransfer);
    });
  }

  connectedCallback() {
    Object.assign(this, this.#early);
    this.#early = {};
    this.#translate();
    this.#offerMethods();
    this.#show();
    this.#dark.addEventListener("change", this.#repaint);
    window.addEventListener("online", this.#retry);
    window.addEventListener("resize", this.#fit);
    if (!this.empty && (this.prediction === null || this.explanation === null)) this.#settled(); // it was asked and removed
  }

  disconnectedCallback() {
    this.#asking.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#speaking);
    this.#pad.release();
    this.#dark.removeEventListener("change", this.#repaint);
    window.removeEventListener("online", this.#retry);
    window.removeEventListener("resize", this.#fit);
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "lang") this.#translate();
    if (name === "endpoint") this.#client = new InklingClient(this.getAttribute("endpoint") ?? HOME, () => this.#token());
    if (name === "versus") this.#versus = numbered(this.getAttribute("versus"));
    if (name === "methods") this.#offerMethods();
    if (!this.isConnected) this.#forget();
    else if (name === "lang") this.#explainAnew();
    else this.#settled();
  }

  formResetCallback() {
    this.clear();
  }

  /** @param {boolean} disabled by a fieldset, or by its own attribute */
  formDisabledCallback(disabled) {
    this.#layout.inert = this.#why.inert = disabled;
  }

  /** The label that was read, or "". */
  get value() {
    return this.prediction?.prediction.label ?? "";
  }

  /** A key that is sent with each request; never an attribute, which anybody on the page could read.
   *  @returns {string | null} */
  get key() {
    return this.#key;
  }

  set key(key) {
    this.#key = key;
    if (this.#failure?.error.status === 401) this.#retry(); // what was drawn without it
  }

  /** Whether it predicts while one draws. */
  get live() {
    return this.hasAttribute("live");
  }

  set live(on) {
    this.toggleAttribute("live", on);
  }

  get form() {
    return this.#internals.form;
  }

  /** The strokes, to be kept and set again; units of a paper of 280. */
  get strokes() {
    return this.#pad.ink.drawing.strokes;
  }

  set strokes(strokes) {
    this.#pad.draw(strokes);
  }

  /** The picture file below the strokes, if one was chosen. */
  get picture() {
    return this.#pad.ink.drawing.photo?.file ?? null;
  }

  /** Whether there is nothing to read. */
  get empty() {
    return this.#pad.ink.isEmpty;
  }

  /** The class that is explained, and the one that it is set against; null: the predicted one, and none. */
  get question() {
    return { target: this.#target, versus: this.#versus };
  }

  /** What the server is asked for beside the picture. */
  get options() {
    return { model: this.getAttribute("model") };
  }

  undo() {
    this.#pad.undo();
  }

  redo() {
    this.#pad.redo();
  }

  clear() {
    this.#pad.clear();
  }

  /** Read a picture file. @param {Blob} file */
  async open(file) {
    await this.#pad.open(file);
  }

  /** The picture as it is sent, or null where nothing is drawn. */
  async toBlob() {
    return (await this.#pad.snapshot())?.file ?? null;
  }

  /** Whether the pen rubs out. */
  get erasing() {
    return this.#pad.erasing;
  }

  set erasing(on) {
    this.#useEraser(on);
  }

  /** Rub out cells of the model's picture, as far as they can be told. @param {readonly [number, number][]} middles */
  erase(middles) {
    const { prediction } = this;
    const sent = this.#sent;
    if (prediction === null || sent === null) return;
    const [a, b, c, d, e, f] = prediction.preprocessing.transform;
    const onPaper = middles.map(([x, y]) => /** @type {[number, number, number]} */ ([
      sent.left + sent.scale * (a * x + b * y + c), sent.top + sent.scale * (d * x + e * y + f), 0.5]));
    this.#pad.rub(onPaper, 1.6 * sent.scale * Math.hypot(a, d));
  }

  /** Which class is explained, and against which. @param {number | null} target @param {number | null} versus */
  ask(target, versus = null) {
    [this.#target, this.#versus] = [target, versus];
    this.#explainAnew();
  }

  async #token() {
    return this.getToken ? await this.getToken() : this.key;
  }

  #translate() {
    const closest = this.closest("[lang]")?.getAttribute("lang");
    this.#words = wordsFor(closest || navigator.languages.join(","));
    const { words } = this.#words;
    for (const [control, name] of /** @type {const} */ ([
      [this.#undo, words.undo], [this.#redo, words.redo], [this.#clear, words.clear], [this.#erase, words.erase],
      [this.#size, words.size], [this.#file, words.file],
    ])) {
      control.setAttribute("aria-label", name);
      control.title = name;
    }
    this.#fileLabel.title = words.file;
    this.#canvas.setAttribute("aria-label", words.pad);
    this.#canvas.setAttribute("aria-description", words.padHelp);
    this.#tools.setAttribute("aria-label", words.tools);
    this.#again.textContent = words.again;
    this.#methodLabel.textContent = words.method;
    this.#strengthLabel.textContent = words.strength;
    this.#bars.name(this.#labels, words);
  }

  #offerMethods() {
    const methods = (this.getAttribute("methods") ?? "shapley").split(",").map((one) => one.trim()).filter(Boolean);
    this.#method.replaceChildren(...methods.map((one) => h("option", { value: one }, one.replaceAll("_", " "))));
    this.#why.hidden = methods.length === 0;
    this.#method.parentElement?.toggleAttribute("hidden", methods.length < 2);
  }

  /** @param {number} index of the class whose row was chosen: the first is explained, the second is set against it */
  #pick(index) {
    const target = this.#target ?? null;
    if (index === this.#versus) this.#versus = null;
    else if (index === target) this.#target = this.#versus = null;
    else if (target === null && index === this.prediction?.prediction.class) this.#target = index;
    else if (target === null) this.#target = index;
    else this.#versus = index;
    this.#explainAnew();
  }

  /** @param {boolean} on */
  #useEraser(on) {
    this.#pad.erasing = on;
    this.#erase.setAttribute("aria-pressed", String(on));
  }

  /** @param {Event} event @param {DataTransfer | null} data */
  #take(event, data) {
    const file = [...(data?.files ?? [])][0];
    if (!file) return;
    event.preventDefault();
    void this.open(file);
  }

  #drawn() {
    this.#forgetMap();
    this.#show();
    if (this.live && !this.#underWay) this.#soon(PAUSE - (performance.now() - this.#askedAt));
  }

  #settled() {
    this.#target = null;
    this.#versus = numbered(this.getAttribute("versus"));
    this.#forgetMap();
    this.#announce("digit-change", { empty: this.#pad.ink.isEmpty, strokes: this.strokes.length });
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#failure = null;
    if (this.empty) this.#forget();
    this.#show();
    if (!this.empty) void this.#predict();
  }

  /** No answer belongs to what is drawn. */
  #forget() {
    this.prediction = this.explanation = null;
    this.#internals.setFormValue("");
  }

  #explainAnew() {
    this.#forgetMap();
    if (this.prediction === null) { // what is asked now is still to be read
      this.#show();
      return;
    }
    this.#failure = null;
    this.#show();
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#asking = new AbortController();
    void this.#explain(this.#asking.signal);
  }

  #retry = () => {
    clearTimeout(this.#timer);
    this.#failure?.again(TRIES);
  };

  #fit = () => this.#pad.fit(); // zoom changes the pixel ratio, and the pad's size perhaps not

  #repaint = () => this.#pad.redraw();

  /** @param {number} milliseconds */
  #soon(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#predict(), Math.max(0, milliseconds));
  }

  async #predict(tries = TRIES) {
    this.#asking.abort(); // an answer to what was drawn before would come too late
    const { signal } = (this.#asking = new AbortController());
    this.#underWay = true;
    this.#result.setAttribute("aria-busy", "true");
    this.#askedAt = performance.now();
    try {
      const sent = await this.#pad.snapshot();
      if (sent === null || signal.aborted) return;
      const answer = await this.#client.predict(sent.file, this.options, signal);
      if (signal.aborted) return;
      [this.prediction, this.#sent] = [answer, sent];
      this.#internals.setFormValue(answer.prediction.label);
      this.#failure = null;
      this.#show();
      this.#announce("digit-prediction", answer);
      void this.#learnLabels(answer.model.name);
      if (this.#pad.isDrawing) {
        if (this.live) this.#soon(PAUSE - (performance.now() - this.#askedAt));
      } else {
        void this.#explain(signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#forget(); // what was read before is not what is drawn
      this.#failed(error, signal, tries, (left) => void this.#predict(left));
    } finally {
      if (this.#asking.signal === signal) {
        this.#underWay = false;
        this.#result.setAttribute("aria-busy", "false");
      }
    }
  }

  /** The labels of a net's classes, once for each net. @param {string} model */
  async #learnLabels(model) {
    if (model === this.#labelled) return;
    this.#labelled = model;
    const described = await this.#client.get(`v1/models/${encodeURIComponent(model)}`).catch(() => null);
    if (described === null || model !== this.#labelled) return; // the digits stay
    this.#labels = described.classes;
    this.#explains = described.explain !== "off";
    this.#bars.name(this.#labels, this.#words.words);
    this.#show();
  }

  /** @param {AbortSignal} signal */
  async #explain(signal, tries = TRIES) {
    const sent = this.#sent;
    if (this.#why.hidden || !this.#method.value || sent === null) return;
    const chosen = { method: this.#method.value, target: this.#target, versus: this.#versus };
    const options = { ...this.options, ...chosen, lang: this.#words.lang };
    try {
      const answer = await this.#client.explain(sent.file, options, signal);
      if (signal.aborted) return;
      this.explanation = answer;
      this.#failure = null;
      this.#show();
      this.#announce("digit-explanation", answer);
    } catch (error) {
      this.#failed(error, signal, tries, (left) => void this.#explain(signal, left));
    }
  }

  /** Say what is wrong; try again where that can help.
   *  @param {unknown} error @param {AbortSignal} signal @param {number} tries @param {(tries: number) => void} again */
  #failed(error, signal, tries, again) {
    if (signal.aborted) return;
    const known = error instanceof InklingError ? error : new InklingError(String(error), { code: "unreadable" });
    const wait = passes(known) && tries > 1 ? Math.min(LONGEST, known.retryAfter ?? AGAIN) : null;
    this.#failure = { error: known, wait, again };
    this.#show();
    this.#announce("digit-error", known.toJSON());
    if (wait !== null) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        if (!signal.aborted) again(tries - 1);
      }, wait * 1000);
    }
  }

  #forgetMap() {
    this.explanation = null;
    this.#map.hidden = true;
  }

  /** Bring all that is seen into line with what is known. */
  #show() {
    const { words } = this.#words;
    const { ink } = this.#pad;
    const { photo } = ink.drawing;
    this.#undo.disabled = !ink.canUndo;
    this.#redo.disabled = !ink.canRedo;
    this.#clear.disabled = ink.isEmpty;
    const unseen = photo !== null && photo.bitmap === null;
    this.#hint.hidden = (!ink.isEmpty || this.#pad.isDrawing) && !unseen;
    this.#hint.textContent = unseen ? words.unseen(photo.file instanceof File ? photo.file.name : words.pasted) : words.hint;
    const { prediction, explanation } = this;
    this.#bars.show(prediction?.probabilities ?? null);
    this.#bars.mark(this.#target, this.#versus);
    const said = prediction && words.answer(prediction.prediction.label, percent(prediction.prediction.probability));
    if (said && said !== this.#answer.textContent) this.#say("answer", said);
    this.#answer.textContent = said ?? "";
    this.#notes.replaceChildren(...this.#warnings(prediction));
    this.#showFailure();
    this.#showWhy();
    if (explanation) this.#paintMap(explanation);
  }

  #showFailure() {
    const failure = this.#failure;
    const { words } = this.#words;
    const never = failure?.error.code === "not_ready" && this.prediction !== null && !this.#explains;
    const sentences = failure === null ? [] : [never ? words.errors.none : explained(failure.error, words)];
    if (failure?.wait && !never) sentences.push(words.inSeconds(failure.wait));
    const told = sentences.join(" ");
    if (told !== this.#error.textContent) this.#error.textContent = told; // once, for it is read aloud
    this.#again.hidden = failure === null || failure.wait !== null || !passes(failure.error);
  }

  /** While the next reasons are worked out, those before stay, dimmed: nothing jumps. */
  #showWhy() {
    const { explanation } = this;
    const waiting = explanation === null && this.#failure === null && !this.empty;
    this.#why.setAttribute("aria-busy", String(waiting));
    if (waiting && this.#alt.textContent) return;
    this.#title.textContent = explanation ? this.#question(explanation) : waiting ? this.#words.words.asking : "";
    this.#title.hidden = this.#title.textContent === "";
    this.#alt.textContent = explanation?.alt ?? "";
    this.#colours.textContent = explanation ? this.#legend(explanation) : "";
    this.#settings.hidden = explanation === null && this.#method.options.length < 2;
  }

  /** @param {Prediction | null} prediction */
  #warnings(prediction) {
    const { words } = this.#words;
    if (!prediction) return [];
    const several = prediction.preprocessing.warnings.find((one) => one.startsWith("multiple-objects"));
    const texts = prediction.in_distribution.ok ? [] : [words.unlike];
    if (several) texts.push(words.several(/\d+/.exec(several)?.[0] ?? "2"));
    return texts.map((text) => h("li", { class: "warning" }, text));
  }

  /** @param {Explanation} explanation */
  #question({ target }) {
    const { words } = this.#words;
    const label = this.#labels[target.class] ?? target.label;
    return target.versus === null ? words.why(label) : words.whyNot(label, this.#labels[target.versus] ?? "");
  }

  /** What the colours mean. @param {Explanation} explanation */
  #legend({ target, explanation }) {
    const { words } = this.#words;
    const label = this.#labels[target.class] ?? target.label;
    if (!explanation.signed) return words.unsigned;
    return target.versus === null ? words.signed(label) : words.contrast(label, this.#labels[target.versus] ?? "");
  }

  /** @param {Explanation} explanation */
  #paintMap({ explanation, preprocessing }) {
    const sent = this.#sent;
    if (sent === null) return;
    const values = painted(explanation);
    const picture = cells(values, limitOf(values, explanation.signed), explanation.signed);
    const side = this.#canvas.width;
    this.#map.width = this.#map.height = side;
    const context = this.#map.getContext("2d");
    if (!context) return;
    const unit = side / PAPER;
    const [a, b, c, d, e, f] = preprocessing.transform;
    context.imageSmoothingEnabled = false;
    context.setTransform(unit, 0, 0, unit, 0, 0);
    context.transform(sent.scale, 0, 0, sent.scale, sent.left, sent.top);
    context.transform(a, d, b, e, c, f);
    context.drawImage(picture, 0, 0);
    this.#fade();
    this.#map.hidden = false;
  }

  #fade() {
    this.#map.style.setProperty("--opacity", this.#strength.value);
  }

  /** @param {string} type @param {unknown} detail */
  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  /** Tell a screen reader, at most once a second, and always the last of each kind.
   *  @param {"cell" | "answer"} kind @param {string} text */
  #say(kind, text) {
    this.#unsaid.set(kind, text);
    clearTimeout(this.#speaking);
    const wait = Math.max(0, this.#spokenAt + SPOKEN - performance.now());
    this.#speaking = setTimeout(() => {
      this.#spokenAt = performance.now();
      this.#live.textContent = [...this.#unsaid.values()].join(". ");
      this.#unsaid.clear();
    }, wait);
  }
}

reflect(InklingDigit.prototype);

/** @param {string} path */
function button(path) {
  return h("button", { type: "button", part: "button" }, icon(path));
}

/** @param {string | null} text */
function numbered(text) {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

if (!customElements.get("inkling-digit")) customElements.define("inkling-digit", InklingDigit);
