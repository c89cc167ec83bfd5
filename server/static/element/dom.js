// @ts-check
/** Builds elements without markup in texts, which Trusted Types forbid. */

/** @template {keyof HTMLElementTagNameMap} Name
 *  @param {Name} name @param {Record<string, string>} attributes @param {(Node | string)[]} children
 *  @returns {HTMLElementTagNameMap[Name]} */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A drawing of 24 x 24 by one path of lines. @param {string} path */
export function icon(path) {
  const drawing = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["viewBox", "0 0 24 24"], ["width", "20"], ["height", "20"], ["aria-hidden", "true"]]) {
    drawing.setAttribute(String(name), String(value));
  }
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

/** Of our own drawing. */
export const ICONS = {
  undo: "M8 5 4 9l4 4M4 9h9a6 6 0 0 1 0 12H9",
  redo: "m16 5 4 4-4 4M20 9h-9a6 6 0 0 0 0 12h4",
  clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M11 11v5M13 11v5",
  erase: "M9 19 4 14 14 4l6 6-9 9zM9 9l6 6M9 19h11",
  file: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
};
