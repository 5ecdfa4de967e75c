// Runs the networks beside the page, so that the page responds meanwhile.
import * as ort from "./vendor/onnxruntime-web/ort.wasm.min.mjs";
import { pasteBack } from "./paste.js";
import { search } from "./search.js";
import { segmentFace } from "./segment.js";

const here = (path) => new URL(path, import.meta.url).href;
ort.env.wasm.wasmPaths = here("vendor/onnxruntime-web/");
ort.env.wasm.numThreads = 1; // several need headers that static hosts do not send
const settings = fetch(here("settings.json")).then((response) => response.json());
const networks = new Map();

/** A network as a function from an input and its shape to the output; loaded once. */
function network(name) {
  if (!networks.has(name)) {
    networks.set(name, ort.InferenceSession.create(here(`${name}.onnx`)).then((session) =>
      async (values, shape) => {
        const input = new ort.Tensor("float32", values, shape);
        const outputs = await session.run({ [session.inputNames[0]]: input });
        return outputs[session.outputNames[0]].data;
      }));
  }
  return networks.get(name);
}

/** The pixels of a bitmap, transparent ones over white. */
function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

onmessage = async ({ data: { id, bitmap, model, minConfidence, isVideo } }) => {
  try {
    const { models, config, fastScales } = await settings;
    const [detector, segmenter] = [await network("detector-open"), await network(model)];
    const photo = pixelsOf(bitmap);
    const scales = isVideo ? fastScales : config.scales;
    const found = await search(photo, detector, { ...config, scales, minConfidence });
    const faces = [];
    for (const face of found) {
      faces.push(await segmentFace(photo, face, segmenter, { ...models[model], padding: config.padding }));
    }
    const labels = pasteBack(faces, photo, models[model].features);
    const plain = faces.map(({ roi, confidence }) => ({ roi, confidence }));
    postMessage({ id, labels, faces: plain, width: photo.width, height: photo.height }, [labels.buffer]);
  } catch (error) {
    postMessage({ id, error: String(error.message ?? error) });
  }
};
