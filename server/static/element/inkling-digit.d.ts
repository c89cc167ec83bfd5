/** Types of <inkling-digit> and of the JSON in its events, which is that of Inkling's API (/openapi.json). */

export interface Model { name: string; version: string; digest: string }

export interface Preprocessing {
  steps: string[];
  /** A pixel (x, y) of the model's picture lies at (a x + b y + c, d x + e y + f) of the sent one. */
  transform: [a: number, b: number, c: number, d: number, e: number, f: number];
  warnings: string[];
  /** What the net got, where it was asked for: 0 is paper, 1 is ink. */
  pixels?: number[][];
}

export interface Prediction {
  model: Model;
  prediction: { class: number; label: string; probability: number };
  probabilities: number[];
  prediction_set: { labels: string[]; coverage: number; n: number } | null;
  in_distribution: { ok: boolean; score: number; threshold: number };
  preprocessing: Preprocessing;
  /** Where the digit lands on the version's map, where it was asked for. */
  neighbours?: { position: [x: number, y: number]; own: Neighbour[]; next: Neighbour[] };
}

/** A mean of training images, by its index on the map; the distance is 1 less the cosine between embeddings. */
export interface Neighbour { centroid: number; label: string; distance: number }

export interface Attribution {
  unit: string;
  signed: boolean;
  values: number[][];
  segments: number[][] | null;
  segment_values: number[] | null;
  /** What a heatmap shows. */
  painted: "values" | "segment_values";
  score: number | null;
  base_value: number | null;
  certificate: {
    state: string;
    convergence_delta: number | null;
    stderr_max: number | null;
    bias_max: number | null;
    local_r2: number | null;
    rows: number;
    top3_probability: number | null;
    /** What that means, in the language of the answer. */
    summary: string;
  };
  /** The parts of the digit, the costliest to take away first. */
  parts: Part[];
  warnings: string[];
  /** Where quality=true asked for it. `passed` is null where nobody can tell. */
  quality: { measures: Record<string, Measure>; passed: boolean | null; verdict: string } | null;
}

export interface Part {
  name: string;
  kind: string;
  place: string | null;
  section: string | null;
  /** How far the score falls without it; null where there was no time to test. */
  drop: number | null;
  /** Row, column, height and width. */
  box: [number, number, number, number];
  /** Shares of all evidence of the map. */
  supporting: number;
  opposing: number;
  stderr: number | null;
}

export interface Measure {
  value: number | null;
  random: number | null;
  intensity: number | null;
  better: "lower" | "higher";
  random_beaten: number | null;
  better_than_random: boolean | null;
  better_than_intensity: boolean | null;
}

/** How a method did on nets like this one whose cause is known. */
export interface Trial {
  named_cause: [found: number, total: number];
  interval: [low: number, high: number];
  yardstick: number;
  ink: number;
  /** Whether the method is not to be believed. */
  flagged: boolean;
  kinds: Record<string, [found: number, total: number]>;
  summary: string;
}

export interface Explanation extends Prediction {
  id: string;
  target: { class: number; versus: number | null; label: string };
  explanation: Attribution & { method: string; options: Record<string, unknown>; seed: number };
  /** Null where the method was not tried. */
  trial: Trial | null;
  alt: string;
  links: { self: string; png: string } | null;
}

export interface DigitError {
  error: string;
  code: string;
  status: number;
  retryAfter: number | null;
  request_id: string | null;
}

export interface Stroke {
  readonly points: readonly [x: number, y: number, pressure: number][];
  readonly size: number;
  readonly erases: boolean;
  readonly pressed: boolean;
}

export interface InklingDigitEventMap {
  "digit-change": CustomEvent<{ empty: boolean; strokes: number }>;
  "digit-prediction": CustomEvent<Prediction>;
  "digit-explanation": CustomEvent<Explanation>;
  "digit-error": CustomEvent<DigitError>;
}

/** Attributes: endpoint (an address; the server that the script came from), model, methods (names with commas; the first
 * is asked at once; empty for none; `best` if it is not given), versus (a class), live (predict while drawing), lang (en or zh), name (in a form). */
export class InklingDigit extends HTMLElement {
  key: string | null;
  getToken: (() => Promise<string | null>) | null;
  readonly prediction: Prediction | null;
  readonly explanation: Explanation | null;
  readonly value: string;
  endpoint: string | null;
  model: string | null;
  methods: string | null;
  versus: string | null;
  name: string | null;
  live: boolean;
  readonly form: HTMLFormElement | null;
  readonly empty: boolean;
  readonly picture: Blob | null;
  strokes: readonly Stroke[];
  readonly question: { target: number | null; versus: number | null };
  /** Whether the pen rubs out. */
  erasing: boolean;
  /** Rub out cells of the model's picture, given by their middles. */
  erase(middles: readonly [x: number, y: number][]): void;
  undo(): void;
  redo(): void;
  clear(): void;
  open(file: Blob): Promise<void>;
  toBlob(): Promise<Blob | null>;
  ask(target: number | null, versus?: number | null): void;
  addEventListener<K extends keyof InklingDigitEventMap>(
    type: K, listener: (event: InklingDigitEventMap[K]) => void, options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap { "inkling-digit": InklingDigit }
}
