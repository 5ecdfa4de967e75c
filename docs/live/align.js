// Align: the square region (ROI) around a face, and the face warped upright.
import { reduce } from "./pixels.js";

// A ROI is {x, y, size, angle}: centre and side in pixels of the photo, rotation in radians.

/** Where fractions of a ROI's side, [x, y], lie on the photo. */
export function onPhoto(roi, [x, y]) {
  const cosine = Math.cos(roi.angle) * roi.size, sine = Math.sin(roi.angle) * roi.size;
  return [roi.x + cosine * (x - 0.5) - sine * (y - 0.5), roi.y + sine * (x - 0.5) + cosine * (y - 0.5)];
}

/** The ROI in which five points are closest to the mean face's: least squares, rotation and scale. */
export function roiOfPoints(points, mean) {
  const centre = (of) => [0, 1].map((axis) => of.reduce((sum, p) => sum + p[axis], 0) / of.length);
  const [x, y] = centre(points), [meanX, meanY] = centre(mean);
  let real = 0, imaginary = 0, spread = 0;
  points.forEach((point, i) => {
    const [u, v] = [mean[i][0] - meanX, mean[i][1] - meanY], [s, t] = [point[0] - x, point[1] - y];
    real += u * s + v * t;
    imaginary += u * t - v * s;
    spread += u * u + v * v;
  });
  const size = Math.max(Math.hypot(real, imaginary) / spread, 1);
  const roi = { x, y, size, angle: Math.atan2(imaginary, real) };
  const [left, top] = onPhoto(roi, [1 - meanX, 1 - meanY]);
  return { ...roi, x: left, y: top };
}

/** The ROI of a face in a box (left, top, right, bottom); the inverse of `boxOf`. */
export function roiOfBox([left, top, right, bottom], angle, mean) {
  const area = (mean[2] - mean[0]) * (mean[3] - mean[1]);
  const size = Math.max(Math.sqrt((right - left) * (bottom - top) / area), 1);
  const roi = { x: (left + right) / 2, y: (top + bottom) / 2, size, angle };
  const [x, y] = onPhoto(roi, [1 - (mean[0] + mean[2]) / 2, 1 - (mean[1] + mean[3]) / 2]);
  return { ...roi, x, y };
}

/** The ROI of a detection: by its points, or only its angle where box and points disagree. */
export function roiOf({ box, points }, { meanPoints, meanBox, agree }) {
  const byPoints = roiOfPoints(points, meanPoints);
  const byBox = roiOfBox(box, byPoints.angle, meanBox);
  const ratio = byPoints.size / byBox.size;
  return ratio > 1 / agree && ratio < agree ? byPoints : byBox;
}

/** A square box around the face in a ROI, whatever its rotation. */
export function boxOf(roi, mean) {
  const [x, y] = onPhoto(roi, [(mean[0] + mean[2]) / 2, (mean[1] + mean[3]) / 2]);
  const half = roi.size * Math.sqrt((mean[2] - mean[0]) * (mean[3] - mean[1])) / 2;
  return [x - half, y - half, x + half, y + half];
}

/** The largest of: shift in sides, change of size (logarithm), half the rotation. */
export function change(from, to) {
  const shift = Math.hypot(to.x - from.x, to.y - from.y) / from.size;
  const turn = Math.abs(Math.atan2(Math.sin(to.angle - from.angle), Math.cos(to.angle - from.angle)));
  return Math.max(shift, Math.abs(Math.log(to.size / from.size)), turn / 2);
}

/** Bounding box of a ROI, cut at the photo's borders; may be empty. */
export function boundsOf(roi, { width, height }) {
  const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map((corner) => onPhoto(roi, corner));
  const clip = (value, most) => Math.min(Math.max(value, 0), most);
  const [xs, ys] = [0, 1].map((axis) => corners.map((corner) => corner[axis]));
  return {
    left: clip(Math.floor(Math.min(...xs)), width), top: clip(Math.floor(Math.min(...ys)), height),
    right: clip(Math.ceil(Math.max(...xs)), width), bottom: clip(Math.ceil(Math.max(...ys)), height),
  };
}

/** The aligned face in a ROI, `side` pixels wide and high, as planes [3, side, side] in 0..1. */
export function warpCrop(photo, roi, side, padding) {
  const reduction = Math.floor(roi.size / side), bounds = boundsOf(roi, photo);
  if (reduction > 1 && bounds.left < bounds.right && bounds.top < bounds.bottom) {
    // Sampling single pixels of a large face would alias, so it is averaged first.
    photo = reduce(photo, reduction, bounds);
    const [x, y, size] = [roi.x - bounds.left, roi.y - bounds.top, roi.size].map((v) => v / reduction);
    roi = { ...roi, x, y, size };
  }
  const { data, width, height } = photo, plane = side * side, crop = new Float32Array(3 * plane);
  const cosine = Math.cos(roi.angle) * roi.size / side, sine = Math.sin(roi.angle) * roi.size / side;
  const startX = roi.x - side / 2 * (cosine - sine), startY = roi.y - side / 2 * (sine + cosine);
  for (let pixel = 0; pixel < plane; pixel++) {
    const column = pixel % side + 0.5, row = Math.floor(pixel / side) + 0.5;
    const x = cosine * column - sine * row + startX, y = sine * column + cosine * row + startY;
    if (!(x >= 0 && y >= 0 && x < width && y < height)) {
      for (let channel = 0; channel < 3; channel++) crop[channel * plane + pixel] = padding[channel] / 255;
      continue;
    }
    const left = Math.floor(x - 0.5), top = Math.floor(y - 0.5);
    const across = x - 0.5 - left, down = y - 0.5 - top;
    const x0 = Math.max(left, 0), x1 = Math.min(left + 1, width - 1);
    const y0 = Math.max(top, 0) * width, y1 = Math.min(top + 1, height - 1) * width;
    for (let channel = 0; channel < 3; channel++) {
      const upperLeft = data[4 * (y0 + x0) + channel], lowerLeft = data[4 * (y1 + x0) + channel];
      const upper = upperLeft + (data[4 * (y0 + x1) + channel] - upperLeft) * across;
      const lower = lowerLeft + (data[4 * (y1 + x1) + channel] - lowerLeft) * across;
      crop[channel * plane + pixel] = Math.floor(upper + (lower - upper) * down) / 255;
    }
  }
  return crop;
}
