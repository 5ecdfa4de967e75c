// Resizing in whole numbers exactly as Pillow does it, so that the networks see the pixels that they
// see in Python. An image is {data, width, height} with RGBA data.

/** Means of blocks of `factor` x `factor` pixels, of the part of an image in `bounds`. */
export function reduce(image, factor, { left, top, right, bottom } = boundsOfAll(image)) {
  const width = Math.ceil((right - left) / factor), height = Math.ceil((bottom - top) / factor);
  const { data } = image, reduced = new Uint8ClampedArray(4 * width * height);
  for (let y = 0, to = 0; y < height; y++) {
    const firstRow = top + y * factor, endRow = Math.min(firstRow + factor, bottom);
    for (let x = 0; x < width; x++, to += 4) {
      const first = left + x * factor, columns = Math.min(factor, right - first);
      const count = (endRow - firstRow) * columns;
      let red = count >> 1, green = red, blue = red; // half of it, to round
      for (let row = firstRow; row < endRow; row++) {
        const from = 4 * (row * image.width + first), end = from + 4 * columns;
        for (let at = from; at < end; at += 4) {
          red += data[at];
          green += data[at + 1];
          blue += data[at + 2];
        }
      }
      // Not quite a division: of 9 pixels whose mean is just above a half, it rounds down.
      const perPixel = Math.floor(2 ** 24 / count);
      reduced[to] = (red * perPixel) >>> 24;
      reduced[to + 1] = (green * perPixel) >>> 24;
      reduced[to + 2] = (blue * perPixel) >>> 24;
    }
  }
  return { width, height, data: reduced };
}

const boundsOfAll = ({ width, height }) => ({ left: 0, top: 0, right: width, bottom: height });

/** An image at another size, bilinear; the filter is as wide as a pixel of the smaller image. */
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
    const centre = (pixel + 0.5) * scale;
    const first = Math.max(Math.floor(centre - support + 0.5), 0);
    const end = Math.min(Math.floor(centre + support + 0.5), source);
    const exact = Float64Array.from({ length: end - first }, (_, i) =>
      Math.max(0, 1 - Math.abs((first + i + 0.5 - centre) / support)));
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    const weights = Int32Array.from(exact, (weight) => Math.floor(weight / total * 2 ** 22 + 0.5));
    for (let line = 0; line < lines; line++) {
      const start = line * from + first * step, out = line * to + pixel * step;
      let red = 2 ** 21, green = red, blue = red;
      for (let i = 0, at = start; i < weights.length; i++, at += step) {
        red += weights[i] * data[at];
        green += weights[i] * data[at + 1];
        blue += weights[i] * data[at + 2];
      }
      resized[out] = red >> 22;
      resized[out + 1] = green >> 22;
      resized[out + 2] = blue >> 22;
    }
  }
  return resized;
}

/** An image as a network's input: planes [3, height, width] in 0..1. */
export function toPlanes({ data, width, height }) {
  const plane = width * height, planes = new Float32Array(3 * plane);
  for (let i = 0, at = 0; i < plane; i++, at += 4) {
    planes[i] = data[at] / 255;
    planes[plane + i] = data[at + 1] / 255;
    planes[2 * plane + i] = data[at + 2] / 255;
  }
  return planes;
}
