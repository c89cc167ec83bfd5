// @ts-check
/** Section 5: files, a report on paper, the same call as code, and a link that opens the drawing again. */

import { percent } from "../element/bars.js";
import { h } from "../element/dom.js";
import { certificate } from "./maps.js";
import { part } from "./parts.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./page.js").Part} Part */
/** @typedef {import("../element/inkling-digit.d.ts").Explanation} Explanation */
/** @typedef {import("../element/inkling-digit.d.ts").InklingDigit} InklingDigit */
/** @typedef {import("../element/ink.js").Stroke} Stroke */

const HASH = "#ink="; // of a link; what follows never reaches a server
const LONGEST = 12000; // letters of a link that others will carry

/** @param {Page} page @returns {Part} */
export function setUpTake({ digit, client, words, question }) {
  const png = h("button", { type: "button" });
  const json = h("button", { type: "button" });
  const print = h("button", { type: "button" });
  const link = h("button", { type: "button" });
  const copy = h("button", { type: "button" });
  const note = h("span", { class: "quiet", role: "status" });
  const code = h("code");
  const languages = ["curl", "Python", "JavaScript"];
  let language = "curl";
  /** @type {Explanation | null} */
  let latest = null;

  json.addEventListener("click", () => {
    save(new Blob([JSON.stringify(latest, null, 1)], { type: "application/json" }), `${latest?.id}.json`);
  });
  png.addEventListener("click", async () => save(await picture(), `${latest?.id}.png`));
  print.addEventListener("click", async () => {
    await report();
    window.print();
  });
  link.addEventListener("click", () => copied(address(digit.strokes)));
  copy.addEventListener("click", () => copied(code.textContent ?? ""));

  /** The heatmap as the server draws it. @returns {Promise<Blob>} */
  async function picture() {
    const file = await digit.toBlob();
    const options = { ...asked(), format: "png" };
    return client.picture("v1/explain", /** @type {Blob} */ (file), options);
  }

  function asked() {
    const { model, target, versus, lang } = question();
    return { model: latest?.model.name ?? model, method: latest?.explanation.method, target, versus, lang };
  }

  /** @param {string} text */
  async function copied(text) {
    await navigator.clipboard.writeText(text);
    note.textContent = words().copied;
    setTimeout(() => (note.textContent = ""), 2000);
  }

  async function report() {
    if (latest === null) return;
    const { reportRows: names } = words();
    const image = h("img", { alt: latest.alt, src: URL.createObjectURL(await picture()) });
    await image.decode();
    const { prediction, explanation, model } = latest;
    const rows = [
      [names.date, new Date().toLocaleString(document.documentElement.lang)],
      [names.answer, `${prediction.label} (${percent(prediction.probability)})`],
      [names.why, latest.alt],
      [names.method, explanation.method],
      [names.certificate, certificate(latest, words()).join(" ")],
      [names.net, `${model.name} ${model.version}`],
      [names.digest, model.digest],
      [names.seed, `${explanation.seed} ${JSON.stringify(explanation.options)}`],
      [names.id, latest.id],
      [names.again, call("curl")],
    ];
    const cells = rows.map(([name, value]) => h("tr", {}, h("th", {}, name ?? ""), h("td", {}, value ?? "")));
    part("report").replaceChildren(h("h1", {}, words().report), image, h("table", {}, ...cells));
  }

  /** @param {string} kind */
  function call(kind) {
    const url = String(client.address("v1/explain", asked()));
    if (kind === "curl") return `curl --data-binary @digit.png '${url}'`;
    if (kind === "Python") {
      return ["import json", "from urllib.request import urlopen", "", `url = ${JSON.stringify(url)}`,
        'with open("digit.png", "rb") as picture:', "    answer = json.load(urlopen(url, picture.read()))",
        'print(answer["prediction"], answer["alt"])'].join("\n");
    }
    return [`const url = ${JSON.stringify(url)};`, 'const answer = await (await fetch(url, { method: "POST", body: picture })).json();',
      "console.log(answer.prediction, answer.alt); // picture: a Blob or File"].join("\n");
  }

  function showCode() {
    const tabs = languages.map((one) => {
      const tab = h("button", { type: "button", role: "tab", "aria-selected": String(one === language), "aria-controls": "call" }, one);
      tab.addEventListener("click", () => {
        language = one;
        showCode();
        /** @type {HTMLElement | null} */ (part("code").querySelector("[aria-selected=true]"))?.focus();
      });
      return tab;
    });
    code.textContent = call(language);
    const panel = h("pre", { id: "call", role: "tabpanel", tabindex: "0", "aria-label": language }, code);
    part("code").replaceChildren(
      h("p", { class: "quiet" }, words().saveAs), h("div", { class: "row" }, h("div", { class: "tabs", role: "tablist" }, ...tabs), copy), panel);
  }

  return {
    translate() {
      [png.textContent, json.textContent, print.textContent, link.textContent, copy.textContent] =
        [words().png, words().json, words().print, words().link, words().copy];
      part("files").replaceChildren(png, json, print, link, note);
    },
    update(answer) {
      latest = answer;
      for (const one of [png, json, print]) one.disabled = answer === null;
      link.disabled = digit.picture !== null || digit.strokes.length === 0 || address(digit.strokes).length > LONGEST;
      showCode();
    },
  };
}

/** Draw what the address of the page holds. @param {InklingDigit} digit */
export function reopen(digit) {
  if (!location.hash.startsWith(HASH)) return;
  try {
    digit.strokes = unpacked(location.hash.slice(HASH.length));
  } catch {
    history.replaceState(null, "", location.pathname + location.search); // a link that was cut or changed
  }
}

/** @param {readonly Stroke[]} strokes */
function address(strokes) {
  return `${location.origin}${location.pathname}${location.search}${HASH}${packed(strokes)}`;
}

/** Strokes as letters that addresses may hold: size, eraser, then points in whole units and pressures in tenths.
 *  @param {readonly Stroke[]} strokes */
function packed(strokes) {
  return strokes.map(({ points, size, erases, pressed }) => {
    const numbers = points.flatMap(([x, y, pressure]) => [Math.round(x), Math.round(y), ...(pressed ? [Math.round(pressure * 10)] : [])]);
    return [size, (erases ? 1 : 0) + (pressed ? 2 : 0), ...numbers].map((one) => one.toString(36)).join(".");
  }).join("~");
}

/** @param {string} text @returns {Stroke[]} */
function unpacked(text) {
  return text.split("~").map((one) => {
    const [size = 20, flags = 0, ...numbers] = one.split(".").map((digits) => parseInt(digits, 36));
    if (![size, flags, ...numbers].every(Number.isFinite)) throw new RangeError("no strokes");
    const pressed = flags >= 2;
    const step = pressed ? 3 : 2;
    /** @type {[number, number, number][]} */
    const points = [];
    for (let place = 0; place + step <= numbers.length; place += step) {
      points.push([numbers[place] ?? 0, numbers[place + 1] ?? 0, pressed ? (numbers[place + 2] ?? 5) / 10 : 0.5]);
    }
    return { points, size: Math.min(60, Math.max(2, size)), erases: flags % 2 === 1, pressed };
  });
}

/** @param {Blob} file @param {string} name */
function save(file, name) {
  const anchor = h("a", { href: URL.createObjectURL(file), download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
}
