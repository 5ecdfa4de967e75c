// The search: detect, look again at each aligned face, and keep those that are believed.
import { boxOf, change, onPhoto, roiOf, roiOfPoints, warpCrop } from "./align.js";
import { decode, detectAtScales, iou, nms } from "./detect.js";

/** All faces of a photo as {roi, confidence}, most confident first. */
export async function search(photo, detector, config) {
  const candidates = [];
  for (const detection of await detectAtScales(photo, detector, config)) {
    candidates.push(await look(photo, roiOf(detection, config), detection.score, detector, config));
  }
  const believed = candidates.filter(({ confidence }) => confidence >= config.minConfidence);
  const box = ({ roi }) => boxOf(roi, config.meanBox);
  return nms(believed, box, ({ confidence }) => confidence, config.maxIou);
}

/**
 * Faces {roi, confidence} of a video's frame, from those of the frame before. Each is looked at where
 * it was, and keeps its ROI while it hardly moves; new ones are searched for if `detects`.
 */
export async function track(frame, before, detects, detector, config) {
  const faces = [];
  for (const { roi } of before) {
    const face = await look(frame, roi, config.clearScore, detector, config);
    if (face.confidence < config.trackedConfidence) continue;
    if (change(roi, face.roi) <= config.steady) face.roi = roi;
    faces.push(face);
  }
  if (!detects && faces.length === before.length) return faces;
  const found = await search(frame, detector, { ...config, scales: config.scales.slice(0, 1) });
  const box = ({ roi }) => boxOf(roi, config.meanBox);
  const isNew = (one) => faces.every((face) => iou(box(one), box(face)) <= config.maxIou);
  return [...faces, ...found.filter(isNew)];
}

/** Detect again in the aligned face and its mirror image, for a better ROI and a second score. */
async function look(photo, roi, score, detector, config, again = true) {
  const side = config.lookSide, crop = warpCrop(photo, roi, side, config.padding);
  const both = new Float32Array(2 * crop.length);
  both.set(crop);
  for (let row = 0; row < crop.length; row += side) {
    both.set(crop.subarray(row, row + side).reverse(), crop.length + row); // `both` has a copy
  }
  const output = await detector(both, [2, 3, side, side]);
  const half = output.length / 2;
  const [seen, mirrored] = [0, half].map((at) => alignedFace(output.subarray(at, at + half), config));
  if (!seen || !mirrored) return { roi, confidence: confidenceOf(score, config.minScore, config) };
  const mean = seen.points.map(([x, y], i) => {
    const [mirroredX, mirroredY] = mirrored.points[config.mirroredPoints[i]];
    return [(x + side - mirroredX) / (2 * side), (y + mirroredY) / (2 * side)];
  });
  const aligned = roiOfPoints(mean.map((point) => onPhoto(roi, point)), config.meanPoints);
  const confidence = confidenceOf(score, Math.sqrt(seen.score * mirrored.score), config);
  if (again && confidence > config.hopeless && change(roi, aligned) > config.misaligned) {
    return look(photo, aligned, score, detector, config, false);
  }
  return { roi: aligned, confidence };
}

/** The face that fills an aligned crop, if there is one. */
function alignedFace(output, { lookSide, minScore, meanBox }) {
  const filled = meanBox.map((value) => value * lookSide);
  return decode(output, lookSide, lookSide, minScore)
    .filter(({ box }) => iou(filled, box) > 0.3)
    .reduce((best, one) => (best && best.score >= one.score ? best : one), null);
}

/** Probability of a face from two scores: a logistic regression (Platt scaling). */
function confidenceOf(first, second, { calibration: [bias, ofFirst, ofSecond] }) {
  const logit = (score) => Math.log(score / (1 - score));
  return 1 / (1 + Math.exp(-bias - ofFirst * logit(Math.min(first, 1 - 1e-6)) - ofSecond * logit(second)));
}
