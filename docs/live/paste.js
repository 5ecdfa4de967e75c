// Paste back: the class of each pixel of the photo, from the logits of the aligned faces.
import { boundsOf } from "./align.js";

/** Class ids of a photo {width, height}, Uint8Array; a pixel belongs to one face only. */
export function pasteBack(faces, photo, features) {
  const labels = new Uint8Array(photo.width * photo.height);
  const pasted = faces.map((face) => paste(face, photo));
  for (const face of pasted) {
    const { ids, bounds: { left, top, right, bottom } } = face;
    const others = pasted.filter(({ bounds }) => bounds !== face.bounds && bounds.left < right
      && bounds.right > left && bounds.top < bottom && bounds.bottom > top);
    for (let y = top, at = 0; y < bottom; y++) {
      for (let x = left; x < right; x++, at++) {
        if (ids[at] && !others.some((other) => belongsTo(other, face, ids[at], x, y, features))) {
          labels[y * photo.width + x] = ids[at];
        }
      }
    }
  }
  return labels;
}

/** A face with `ids`, the classes of the photo's pixels within `bounds`. */
function paste(face, photo) {
  const { seen, side } = face, bounds = boundsOf(seen, photo), { left, top, right, bottom } = bounds;
  const ids = new Uint8Array((right - left) * (bottom - top)), best = argmax(face);
  const fine = Math.max(side, Math.min(Math.round(seen.size), 2 * Math.floor(Math.sqrt(ids.length))));
  const cosine = Math.cos(seen.angle) / seen.size, sine = Math.sin(seen.angle) / seen.size;
  for (let y = top, pixel = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, pixel++) {
      const fromX = x + 0.5 - seen.x, fromY = y + 0.5 - seen.y;
      const u = 0.5 + cosine * fromX + sine * fromY, v = 0.5 - sine * fromX + cosine * fromY;
      if (u < 0 || v < 0 || u >= 1 || v >= 1) continue;
      // The centre of the nearest pixel of the logits upsampled to `fine` pixels.
      ids[pixel] = classAt(face, best, (Math.floor(u * fine) + 0.5) / fine, (Math.floor(v * fine) + 0.5) / fine);
    }
  }
  return { ...face, bounds, ids, cosine, sine };
}

/** The class with the highest logit of each pixel of the aligned face, the first of equals. */
function argmax({ logits, classes, side }) {
  const plane = side * side, best = new Uint8Array(plane);
  for (let id = 1; id < classes; id++) {
    for (let i = 0; i < plane; i++) if (logits[id * plane + i] > logits[best[i] * plane + i]) best[i] = id;
  }
  return best;
}

/** The class at a position of the aligned face: where the four pixels around it agree, theirs. */
function classAt({ logits, classes, side }, best, u, v) {
  const x = Math.max(Math.floor(u * side - 0.5), 0), y = Math.max(Math.floor(v * side - 0.5), 0) * side;
  const right = Math.min(x + 1, side - 1), below = Math.min(y + side, side * side - side);
  const first = best[y + x];
  if (first === best[y + right] && first === best[below + x] && first === best[below + right]) return first;
  let winner = 0, highest = -Infinity;
  for (let id = 0; id < classes; id++) {
    const logit = sample(logits, id * side * side, side, u, v);
    if (logit > highest) [winner, highest] = [id, logit];
  }
  return winner;
}

/** The value of a plane, which starts at an index of `values`, at a position; bilinear. */
function sample(values, start, side, u, v) {
  const x = Math.min(Math.max(u * side - 0.5, 0), side - 1), y = Math.min(Math.max(v * side - 0.5, 0), side - 1);
  const left = Math.floor(x), right = Math.min(left + 1, side - 1);
  const top = start + Math.floor(y) * side, bottom = start + Math.min(Math.floor(y) + 1, side - 1) * side;
  const upper = values[top + left] + (values[top + right] - values[top + left]) * (x - left);
  const lower = values[bottom + left] + (values[bottom + right] - values[bottom + left]) * (x - left);
  return upper + (lower - upper) * (y - Math.floor(y));
}

/** Whether another face has a better claim to a pixel that this one marks. */
function belongsTo(other, face, mine, x, y, features) {
  const { bounds: { left, top, right, bottom }, ids } = other;
  if (x < left || x >= right || y < top || y >= bottom) return false;
  const theirs = ids[(y - top) * (right - left) + x - left];
  const distance = ({ roi }) => Math.hypot(x + 0.5 - roi.x, y + 0.5 - roi.y) / roi.size;
  const isNearer = distance(other) < distance(face);
  if (theirs && !(features.includes(mine) && features.includes(theirs))) {
    const here = probabilityAt(face, x, y), there = probabilityAt(other, x, y);
    return here < there || (here === there && isNearer);
  }
  return isNearer && features.includes(mine);
}

/** Probability of the most probable class (softmax) at a pixel of the photo. */
function probabilityAt(face, x, y) {
  face.probabilities ??= maxSoftmax(face);
  const { seen, cosine, sine } = face, fromX = x + 0.5 - seen.x, fromY = y + 0.5 - seen.y;
  const u = 0.5 + cosine * fromX + sine * fromY, v = 0.5 - sine * fromX + cosine * fromY;
  return u < 0 || v < 0 || u >= 1 || v >= 1 ? 0 : sample(face.probabilities, 0, face.side, u, v);
}

function maxSoftmax({ logits, classes, side }) {
  const plane = side * side;
  return Float32Array.from({ length: plane }, (_, i) => {
    let highest = -Infinity, total = 0;
    for (let at = i; at < classes * plane; at += plane) highest = Math.max(highest, logits[at]);
    for (let at = i; at < classes * plane; at += plane) total += Math.exp(logits[at] - highest);
    return 1 / total;
  });
}
