// Segment: the model's logits for one aligned face, [classes, side, side].
import { onPhoto, warpCrop } from "./align.js";

/** A face {roi, confidence} with the model's `logits` and `seen`, the ROI that the model saw. */
export async function segmentFace(photo, face, model, { size: side, crop, padding }) {
  const [x, y] = onPhoto(face.roi, [crop.x, crop.y]);
  const seen = { ...face.roi, x, y, size: face.roi.size * crop.size };
  const logits = await model(warpCrop(photo, seen, side, padding), [1, 3, side, side]);
  return { ...face, seen, logits, side, classes: logits.length / side ** 2 };
}
