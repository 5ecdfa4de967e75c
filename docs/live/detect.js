// Detect: image pyramid, decoding of the detector's output, non-maximum suppression.
import { reduce, resize, toPlanes } from "./pixels.js";

const STRIDES = [8, 16, 32], VALUES = 15;
const logistic = (x) => 1 / (1 + Math.exp(-x));

/** Detections {box, points, score} at the coarsest level, and at finer ones while faces may be small. */
export async function detectAtScales(photo, detector, config) {
  const longest = Math.max(photo.width, photo.height), found = [];
  let before = 0, anySmall = true, anyFace = false;
  for (const scale of config.scales) {
    const finest = anySmall ? Math.max(longest, Math.min(2 * longest, 1280)) : longest;
    const side = Math.max(Math.min(scale, finest), 32);
    if (side <= before) break; // the photo has no more detail
    const likely = await detectAt(photo, detector, side, config.smallFaceThreshold);
    found.push(...likely.filter(({ score }) => score >= config.detectionThreshold));
    anyFace ||= likely.some(({ score }) => score > config.sureFace);
    anySmall = likely.some(({ box }) => (box[2] - box[0]) * side / longest < config.smallFace);
    if ((anyFace || side >= config.scaleWithoutFaces) && !anySmall) break;
    before = side;
  }
  return nms(found, ({ box }) => box, ({ score }) => score, config.maxIou);
}

/** Detections at one level, whose longest side has `side` pixels. */
async function detectAt(photo, detector, side, threshold) {
  const scale = side / Math.max(photo.width, photo.height), step = STRIDES.at(-1);
  const [width, height] = [photo.width, photo.height].map(
    (length) => Math.max(step, Math.round(length * scale / step) * step));
  const factor = Math.max(1, Math.floor(1 / scale));
  const level = resize(factor > 1 ? reduce(photo, factor) : photo, width, height);
  const output = await detector(toPlanes(level), [1, 3, height, width]);
  const ratio = [photo.width / width, photo.height / height];
  return decode(output, width, height, threshold).map(({ box, points, score }) => ({
    box: box.map((value, i) => value * ratio[i % 2]),
    points: points.map((point) => point.map((value, i) => value * ratio[i])), score,
  }));
}

/**
 * Detections from the network's output [N, 15], one row for each cell of each stride: logit of the
 * score, centre of the box, logarithm of its half width and height, five points; all in strides.
 */
export function decode(output, width, height, threshold) {
  const found = [], lowest = Math.log(threshold / (1 - threshold));
  let row = 0;
  for (const stride of STRIDES) {
    const columns = width / stride, cells = columns * (height / stride);
    for (let cell = 0; cell < cells; cell++, row += VALUES) {
      if (!(output[row] > lowest)) continue;
      const origin = [(cell % columns + 0.5) * stride, (Math.floor(cell / columns) + 0.5) * stride];
      const position = (i) => origin.map((centre, axis) => centre + output[row + i + axis] * stride);
      const half = [3, 4].map((i) => Math.exp(Math.min(Math.max(output[row + i], -4), 5)) * stride);
      const [x, y] = position(1);
      const box = [x - half[0], y - half[1], x + half[0], y + half[1]];
      found.push({ box, points: [5, 7, 9, 11, 13].map(position), score: logistic(output[row]) });
    }
  }
  return found;
}

/** Of boxes that overlap by more than `maxIou` the one with the highest score, by descending score. */
export function nms(found, boxOf, scoreOf, maxIou) {
  const kept = [];
  for (const one of [...found].sort((a, b) => scoreOf(b) - scoreOf(a))) {
    if (kept.every((other) => iou(boxOf(one), boxOf(other)) <= maxIou)) kept.push(one);
  }
  return kept;
}

/** Intersection over union of two boxes. */
export function iou(a, b) {
  const across = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const down = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return across * down / Math.max(area(a) + area(b) - across * down, 1e-9);
}
