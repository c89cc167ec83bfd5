// @ts-check
/** The element's own style sheet. Custom properties that begin with --inkling are for pages to set. */

export const STYLE = /* css */ `
:host {
  --paper: var(--inkling-paper, light-dark(#ffffff, #16181d));
  --ink: var(--inkling-ink, light-dark(#14161a, #f2f2ee));
  --text: var(--inkling-text, light-dark(#1c1f24, #e9e9e4));
  --quiet: var(--inkling-quiet, light-dark(#5b6068, #a4a9b3));
  --line: var(--inkling-line, light-dark(#868c96, #7b828e));
  --accent: var(--inkling-accent, light-dark(#2350c8, #8fb0ff));
  --alert: var(--inkling-alert, light-dark(#8f2a00, #ffb08f));
  --bar: var(--inkling-bar, light-dark(#e8eaee, #2a2e36));
  color-scheme: light dark;
  container-type: inline-size;
  display: block;
  max-width: 44rem;
  color: var(--text);
  font: 1rem/1.4 system-ui, sans-serif;
}
:host([hidden]) { display: none; }
.layout { display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); }
@container (min-width: 30rem) { .layout { grid-template-columns: minmax(0, 20rem) minmax(0, 1fr); } }
.paper { position: relative; border: 1px solid var(--line); border-radius: 0.5rem; background: var(--paper); aspect-ratio: 1; overflow: hidden; }
.paper.over { outline: 3px dashed var(--accent); outline-offset: 2px; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.pad { color: var(--ink); accent-color: var(--accent); touch-action: none; cursor: crosshair; border-radius: inherit; }
.map { pointer-events: none; image-rendering: pixelated; opacity: var(--opacity, 0.85); }
.hint { position: absolute; inset: 0; display: grid; place-content: center; text-align: center; white-space: pre-line; padding: 1rem; color: var(--quiet); pointer-events: none; overflow-wrap: anywhere; }
.tools { display: flex; flex-wrap: wrap; gap: 0.25rem; margin-top: 0.5rem; align-items: center; }
button, select, .file { box-sizing: border-box; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 0.375rem; min-width: 2.25rem; min-height: 2.25rem; padding: 0.25rem; cursor: pointer; display: inline-grid; place-content: center; }
button svg, .file svg { fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
button:hover:not(:disabled), .file:hover { border-color: var(--accent); }
button:disabled { opacity: 0.4; cursor: default; }
button[aria-pressed="true"] { background: var(--accent); border-color: var(--accent); color: var(--paper); }
input[type="range"] { accent-color: var(--accent); min-height: 2.25rem; width: 6rem; }
:focus-visible, .file:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
.pad:focus-visible { outline-offset: -3px; }
.file { position: relative; }
.file input { position: absolute; inset: 0; opacity: 0; width: 100%; height: 100%; cursor: pointer; padding: 0; margin: 0; }
.file input::file-selector-button { cursor: pointer; }
.answer { font-size: 1.5rem; margin: 0 0 0.5rem; min-height: 2.1rem; font-variant-numeric: tabular-nums; }
.bars { display: grid; gap: 0.125rem; }
.row { display: grid; grid-template-columns: 2rem 1fr 5rem; gap: 0.5rem; align-items: center; cursor: pointer; }
button.words { padding-inline: 0.75rem; }
.row button { min-height: 1.625rem; min-width: 2rem; padding: 0; }
.meter { background: var(--bar); height: 0.875rem; border-radius: 0.25rem; overflow: hidden; outline: 1px solid transparent; }
.fill { display: block; height: 100%; width: 100%; background: var(--quiet); transform-origin: left; transform: scaleX(var(--share, 0)); transition: transform 80ms linear; }
:dir(rtl) .fill { transform-origin: right; }
.best .fill { background: var(--accent); }
.best .share { font-weight: 600; }
.share { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums; }
.versus button[aria-pressed="true"] { background: var(--paper); color: var(--accent); outline: 2px dashed var(--accent); }
.notes { margin: 0.5rem 0 0; padding: 0; list-style: none; }
.notes li { margin: 0.25rem 0; }
.warning::before { content: "⚠ "; }
.warning, .error { color: var(--alert); }
.why { margin-top: 1rem; }
.why h2 { font-size: 1.125rem; margin: 0 0 0.25rem; }
.why p { margin: 0.25rem 0; }
.why h2, .why p { text-wrap: pretty; }
.why .quiet { color: var(--quiet); font-size: 0.875rem; }
.why:has(h2:empty) { margin: 0; }
[aria-busy="true"] > :is(.answer, .bars, .notes, h2, p) { opacity: 0.5; transition: opacity 0s 0.4s; }
.live { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.settings { display: flex; flex-wrap: wrap; gap: 0.75rem; align-items: center; }
.settings label { display: inline-flex; gap: 0.375rem; align-items: center; }
[hidden] { display: none !important; }
@media (prefers-reduced-motion: reduce) { .fill { transition: none; } }
@media (forced-colors: active) { .fill { background: CanvasText; } .best .fill { background: Highlight; } .meter { outline-color: CanvasText; } }
`;
