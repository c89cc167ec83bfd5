/** Of perfect-freehand what is used here. */
export interface StrokeOptions {
  size: number;
  thinning: number;
  smoothing: number;
  streamline: number;
  simulatePressure: boolean;
  last: boolean;
}
/** The outline of a stroke as a polygon. */
export function getStroke(points: readonly (readonly number[])[], options: StrokeOptions): number[][];
