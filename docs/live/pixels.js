// Resizing as Pillow does it, so that the networks see the same pixels as in Python.

/** Means of blocks of `factor` x `factor` pixels, of the part of an RGBA image in `bounds`. */
export function reduce(image, factor, bounds = { left: 0, top: 0, right: image.width, bottom: image.height }) {
  const width = Math.ceil((bounds.right - bounds.left) / factor);
  const height = Math.ceil((bounds.bottom - bounds.top) / factor);
  const reduced = { width, height, data: new Uint8ClampedArray(4 * width * height) };
  for (let y = 0; y < height; y++) {
    const top = bounds.top + y * factor, bottom = Math.min(top + factor, bounds.bottom);
    for (let x = 0; x < width; x++) {
      const left = bounds.left + x * factor, right = Math.min(left + factor, bounds.right);
      let red = 0, green = 0, blue = 0;
      for (let row = top; row < bottom; row++) {
        for (let at = 4 * (row * image.width + left); at < 4 * (row * image.width + right); at += 4) {
          red += image.data[at];
          green += image.data[at + 1];
          blue += image.data[at + 2];
        }
      }
      const count = (bottom - top) * (right - left);
      reduced.data.set([red, green, blue].map((sum) => Math.floor(sum / count + 0.5)), 4 * (y * width + x));
    }
  }
  return reduced;
}

/** An RGBA image at another size, bilinear; the filter is as wide as a pixel of the smaller image. */
export function resize(image, width, height) {
  const across = resizeAxis(image.data, image.width, width, image.height, 4, 4 * image.width, 4 * width);
  const data = resizeAxis(across, image.height, height, width, 4 * width, 4, 4);
  return { width, height, data };
}

/** One axis; `step` leads to the next pixel along it, `from` and `to` to the next line. */
function resizeAxis(data, source, target, lines, step, from, to) {
  if (source === target) return data;
  const resized = new Uint8ClampedArray(4 * target * lines), scale = source / target;
  const support = Math.max(scale, 1);
  for (let pixel = 0; pixel < target; pixel++) {
    const centre = (pixel + 0.5) * scale, weights = [];
    const first = Math.max(Math.floor(centre - support + 0.5), 0);
    const end = Math.min(Math.floor(centre + support + 0.5), source);
    for (let i = first; i < end; i++) weights.push(Math.max(0, 1 - Math.abs((i + 0.5 - centre) / support)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let line = 0; line < lines; line++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = first; i < end; i++) sum += weights[i - first] * data[line * from + i * step + channel];
        resized[line * to + pixel * step + channel] = Math.floor(sum / total + 0.5);
      }
    }
  }
  return resized;
}

/** An RGBA image as a network's input: planes [3, height, width] in 0..1. */
export function toPlanes({ data, width, height }) {
  const plane = width * height, planes = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) planes[channel * plane + i] = data[4 * i + channel] / 255;
  }
  return planes;
}
