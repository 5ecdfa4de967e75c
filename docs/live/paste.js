// Paste back: the class of each pixel of the photo, from the logits of the aligned faces.
import { boundsOf } from "./align.js";

/** Class ids of a photo {width, height}, Uint8Array; a pixel belongs to one face only. */
export function pasteBack(faces, photo, features) {
  const labels = new Uint8Array(photo.width * photo.height);
  const pasted = faces.map((face) => paste(face, photo));
  for (const face of pasted) {
    const { bounds: { left, top, right, bottom } } = face;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const mine = classAt(face, x, y);
        const isTheirs = (other) => other !== face && belongsTo(other, face, mine, x, y, features);
        if (mine && !pasted.some(isTheirs)) labels[y * photo.width + x] = mine;
      }
    }
  }
  return labels;
}

/** A face with `ids`, the classes of the photo's pixels within `bounds`. */
function paste(face, photo) {
  const { seen, side, logits, classes } = face, bounds = boundsOf(seen, photo);
  const width = bounds.right - bounds.left, height = bounds.bottom - bounds.top;
  const fine = Math.max(side, Math.min(Math.round(seen.size), 2 * Math.floor(Math.sqrt(width * height))));
  const best = argmax(logits, classes, side * side), ids = new Uint8Array(width * height);
  const cosine = Math.cos(seen.angle) / seen.size, sine = Math.sin(seen.angle) / seen.size;
  for (let pixel = 0; pixel < ids.length; pixel++) {
    const u = bounds.left + (pixel % width) + 0.5 - seen.x;
    const v = bounds.top + Math.floor(pixel / width) + 0.5 - seen.y;
    const x = 0.5 + cosine * u + sine * v, y = 0.5 - sine * u + cosine * v;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) continue;
    // The centre of the nearest pixel of the logits upsampled to `fine` pixels.
    const at = (value) => (Math.floor(value * fine) + 0.5) / fine * side - 0.5;
    ids[pixel] = upsampledClass(logits, best, classes, side, at(x), at(y));
  }
  return { ...face, bounds, width, ids };
}

/** The class with the highest logit of each pixel, the first of equals. */
function argmax(logits, classes, plane) {
  const best = new Uint8Array(plane);
  for (let id = 1; id < classes; id++) {
    for (let i = 0; i < plane; i++) if (logits[id * plane + i] > logits[best[i] * plane + i]) best[i] = id;
  }
  return best;
}

/** Weights and indices of the four pixels around a position, for bilinear interpolation. */
function corners(x, y, side) {
  const [u, v] = [x, y].map((value) => Math.min(Math.max(value, 0), side - 1));
  const left = Math.floor(u), top = Math.floor(v), across = u - left, down = v - top;
  const right = Math.min(left + 1, side - 1), bottom = Math.min(top + 1, side - 1);
  return {
    at: [top * side + left, top * side + right, bottom * side + left, bottom * side + right],
    weights: [(1 - across) * (1 - down), across * (1 - down), (1 - across) * down, across * down],
  };
}

/** The class at a position of the logits: where the four around it agree, theirs. */
function upsampledClass(logits, best, classes, side, x, y) {
  const { at, weights } = corners(x, y, side), [first] = at;
  if (at.every((index) => best[index] === best[first])) return best[first];
  let winner = 0, highest = -Infinity;
  for (let id = 0; id < classes; id++) {
    const logit = at.reduce((sum, index, i) => sum + weights[i] * logits[id * side * side + index], 0);
    if (logit > highest) [winner, highest] = [id, logit];
  }
  return winner;
}

function classAt({ bounds, width, ids }, x, y) {
  const isInside = x >= bounds.left && x < bounds.right && y >= bounds.top && y < bounds.bottom;
  return isInside ? ids[(y - bounds.top) * width + x - bounds.left] : 0;
}

/** Whether another face has a better claim to a pixel that this one marks. */
function belongsTo(other, face, mine, x, y, features) {
  const { bounds } = other;
  if (x < bounds.left || x >= bounds.right || y < bounds.top || y >= bounds.bottom) return false;
  const distance = ({ roi }) => Math.hypot(x + 0.5 - roi.x, y + 0.5 - roi.y) / roi.size;
  const isNearer = distance(other) < distance(face), theirs = classAt(other, x, y);
  if (theirs && !(features.includes(mine) && features.includes(theirs))) {
    const here = probabilityAt(face, x, y), there = probabilityAt(other, x, y);
    return here < there || (here === there && isNearer);
  }
  return isNearer && features.includes(mine);
}

/** Probability of the most probable class (softmax) at a pixel of the photo. */
function probabilityAt({ seen, side, logits, classes }, x, y) {
  const u = (x + 0.5 - seen.x) / seen.size, v = (y + 0.5 - seen.y) / seen.size;
  const cosine = Math.cos(seen.angle), sine = Math.sin(seen.angle);
  const { at, weights } = corners(
    (0.5 + cosine * u + sine * v) * side - 0.5, (0.5 - sine * u + cosine * v) * side - 0.5, side);
  return at.reduce((sum, index, i) => {
    const values = Array.from({ length: classes }, (_, id) => logits[id * side * side + index]);
    const highest = Math.max(...values);
    return sum + weights[i] / values.reduce((total, value) => total + Math.exp(value - highest), 0);
  }, 0);
}
