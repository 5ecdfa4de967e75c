// Runs the networks beside the page, so that the page responds meanwhile.
import * as ort from "./vendor/onnxruntime-web/ort.wasm.min.mjs";
import { pasteBack } from "./paste.js";
import { search, track } from "./search.js";
import { segmentFace } from "./segment.js";

const here = (path) => new URL(path, import.meta.url).href;
ort.env.wasm.wasmPaths = here("vendor/onnxruntime-web/");
ort.env.wasm.numThreads = 1; // several need headers that static hosts do not send
const settings = fetch(here("settings.json")).then((response) => response.json());
const networks = new Map(), DETECTOR = "detector-open", DETECTION_EVERY = 12; // frames
let searched = {}, queue = warmUp(); // one thing after the other: a session does one at a time

/** Load the models, and run each once, which takes longest. */
async function warmUp() {
  const { models, config } = await settings;
  const sides = [[DETECTOR, config.lookSide], ...Object.entries(models).map(([name, { size }]) => [name, size])];
  for (const [name, side] of sides) {
    await (await network(name))(new Float32Array(3 * side * side), [1, 3, side, side]);
  }
}

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
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Faces {roi, confidence} and class ids of a numbered photo, or of a video's next frame. */
async function segment({ bitmap, model, minConfidence, number, frame }) {
  const { models, config: constants } = await settings, config = { ...constants, minConfidence };
  const [detector, segmenter] = [await network(DETECTOR), await network(model)];
  const photo = pixelsOf(bitmap), segmented = [];
  if (frame !== undefined) {
    const before = frame ? searched.faces : [], detects = frame % DETECTION_EVERY === 0;
    searched = { faces: await track(photo, before, detects, detector, config) };
  } else if (searched.number !== number || searched.minConfidence !== minConfidence) {
    searched = { number, minConfidence, faces: await search(photo, detector, config) };
  } // otherwise only the model has changed
  const { faces } = searched;
  for (const face of faces) {
    segmented.push(await segmentFace(photo, face, segmenter, { ...models[model], padding: config.padding }));
  }
  return { labels: pasteBack(segmented, photo, models[model].features), faces };
}

async function answer(question) {
  const { id, bitmap, model } = question, { width, height } = bitmap;
  try {
    const { labels, faces } = await segment(question);
    postMessage({ id, model, bitmap, labels, faces, width, height }, [labels.buffer, bitmap]);
  } catch (error) {
    searched = {};
    postMessage({ id, error: String(error.message ?? error) });
  }
}

onmessage = ({ data }) => (queue = queue.then(() => answer(data), () => answer(data)));
