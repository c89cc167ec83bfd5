// @ts-check
/** <inkling-digit>: draw a digit, see what it is read as, and why (a custom element; the controller of view.js).
 *
 *     <script type="module" src="https://HOST/static/element/inkling-digit.js"></script>
 *     <inkling-digit live></inkling-digit>
 *
 * inkling-digit.d.ts describes its attributes, properties, events, parts and what an event holds.
 */

import { InklingClient, InklingError, passes } from "./client.js";
import { DrawingPad } from "./pad.js";
import { reflect, taken } from "./properties.js";
import { DigitView } from "./view.js";
import { wordsFor } from "./words.js";

/** @typedef {import("./inkling-digit.d.ts").Prediction} Prediction */
/** @typedef {import("./inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("./pad.js").Snapshot} Snapshot */

const HOME = new URL("../../", import.meta.url); // the server that this file came from
const PAUSE = 80; // milliseconds between two live predictions at least
const TRIES = 3; // when the server is busy or cannot be reached
const AGAIN = 3; // seconds until the next try where the server does not say
const LONGEST = 3600; // seconds that are waited for, whatever the server says
const DIGITS = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]; // until the server has told a net's classes

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
  /** @type {"en" | "zh"} */ #lang = "en";
  #view = new DigitView(this.attachShadow({ mode: "open", delegatesFocus: true }), (index) => this.#pick(index));
  #pad = new DrawingPad(this.#view.canvas);
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

  constructor() {
    super();
    const [pad, view] = [this.#pad, this.#view];
    pad.addEventListener("draw", () => this.#drawn());
    pad.addEventListener("settle", () => this.#settled());
    pad.addEventListener("cell", () => view.say("cell", view.words.cell(pad.cell.row + 1, pad.cell.column + 1)));
    view.undo.addEventListener("click", () => this.undo());
    view.redo.addEventListener("click", () => this.redo());
    view.clear.addEventListener("click", () => this.clear());
    view.again.addEventListener("click", this.#retry);
    view.erase.addEventListener("click", () => (this.erasing = !this.erasing));
    view.size.addEventListener("input", () => (pad.size = view.size.valueAsNumber));
    view.method.addEventListener("change", () => this.#explainAnew());
    view.file.addEventListener("change", () => {
      const [file] = view.file.files ?? [];
      if (file) void this.open(file);
      view.file.value = "";
    });
    this.addEventListener("paste", (event) => this.#take(event, event.clipboardData));
    view.paper.addEventListener("dragover", (event) => {
      event.preventDefault();
      view.paper.classList.add("over");
    });
    view.paper.addEventListener("dragleave", () => view.paper.classList.remove("over"));
    view.paper.addEventListener("drop", (event) => {
      view.paper.classList.remove("over");
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
    this.#view.hush();
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
    this.#view.disabled = disabled;
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
    this.#pad.erasing = on;
    this.#show();
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
    const { words, lang } = wordsFor(closest || navigator.languages.join(","));
    this.#lang = lang;
    this.#view.translate(words, this.#labels);
  }

  #offerMethods() {
    const methods = (this.getAttribute("methods") ?? "best").split(",").map((one) => one.trim());
    this.#view.offer(methods.filter(Boolean));
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
    this.#view.busy = true;
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
        this.#view.busy = false;
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
    this.#translate();
    this.#show();
  }

  /** @param {AbortSignal} signal */
  async #explain(signal, tries = TRIES) {
    const sent = this.#sent;
    const method = this.#view.chosenMethod;
    if (!method || sent === null) return;
    const chosen = { method, target: this.#target, versus: this.#versus };
    const options = { ...this.options, ...chosen, lang: this.#lang };
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
    this.#view.map.hidden = true;
  }

  /** Bring all that is seen into line with what is known. */
  #show() {
    this.#view.show({
      pad: this.#pad, prediction: this.prediction, explanation: this.explanation, sent: this.#sent, target: this.#target,
      versus: this.#versus, labels: this.#labels, failure: this.#failure, explains: this.#explains,
    });
  }

  /** @param {string} type @param {unknown} detail */
  #announce(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

}

reflect(InklingDigit.prototype);

/** @param {string | null} text */
function numbered(text) {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

if (!customElements.get("inkling-digit")) customElements.define("inkling-digit", InklingDigit);
