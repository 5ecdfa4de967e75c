// The page: takes photos, asks the worker for their masks, and shows them.
const $ = (id) => document.getElementById(id);
const view = $("view"), video = $("video"), status = $("status");
const say = (text) => (status.textContent = text);
let worker, settings, stream, shown, waiting, last = 0;

/** What the worker finds in a bitmap: {labels, faces, width, height}. */
function ask(bitmap, isVideo = false) {
  const question = { id: ++last, bitmap, isVideo, model: $("model").value,
    minConfidence: Number($("confidence").value) / 100 };
  return new Promise((resolve, reject) => {
    waiting = { id: last, resolve, reject };
    worker.postMessage(question, [bitmap]);
  });
}

/** Segment the photo in a file, or say in one sentence why not. */
async function open(file) {
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return say(`${file.name ?? "This"} is not an image that the browser can read; choose a JPEG or PNG file.`);
  }
  shown = { bitmap };
  await segment();
}

/** Segment what is shown, again if a setting has changed. */
async function segment() {
  if (!shown || stream) return;
  const { bitmap } = shown;
  say("Looking for faces …");
  $("download").disabled = true;
  try {
    const result = await ask(await createImageBitmap(bitmap));
    shown = { bitmap, ...result };
    draw();
    say(sentence(result));
    $("download").disabled = !result.faces.length;
  } catch (error) {
    say(`The photo could not be segmented: ${error.message}`);
  }
}

/** What was found, in words. */
function sentence({ labels, faces, width }) {
  const { classes } = settings.models[$("model").value], seen = new Set(labels);
  if (!faces.length) return "No face was found; try a lower minimum confidence.";
  const names = classes.filter((_, index) => seen.has(index + 1)).join(", ");
  const sure = faces.map(({ confidence }) => `${Math.round(100 * confidence)} %`).join(", ");
  const count = faces.length === 1 ? "1 face" : `${faces.length} faces`;
  return `${count} found (confidence ${sure}), with ${names}.`;
}

/** The photo with the classes' colours over it. */
function draw() {
  const { bitmap, labels, width, height } = shown;
  const palette = settings.models[$("model").value].colours, mask = new ImageData(width, height);
  for (let i = 0; i < labels.length; i++) {
    if (labels[i]) mask.data.set([...palette[labels[i] - 1], 255], 4 * i);
  }
  [view.width, view.height] = [width, height];
  const context = view.getContext("2d"), layer = new OffscreenCanvas(width, height);
  layer.getContext("2d").putImageData(mask, 0, 0);
  context.drawImage(bitmap, 0, 0);
  context.globalAlpha = Number($("opacity").value) / 100;
  context.drawImage(layer, 0, 0);
  view.hidden = false;
  view.setAttribute("aria-label", `Photo, ${sentence(shown)}`);
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch {
    return say("The camera cannot be used; allow it for this page, or choose a photo.");
  }
  video.srcObject = stream;
  await video.play();
  $("camera").textContent = "Stop camera";
  say("The camera is on.");
  let start = performance.now(), frames = 0;
  while (stream) {
    const bitmap = await createImageBitmap(video);
    try {
      const result = await ask(await createImageBitmap(bitmap), true);
      shown?.bitmap.close();
      shown = { bitmap, ...result };
      draw();
    } catch (error) {
      say(`The camera's picture could not be segmented: ${error.message}`);
      stopCamera();
    }
    const seconds = (performance.now() - start) / 1000;
    frames++;
    if (seconds >= 1) {
      $("rate").textContent = `${(frames / seconds).toFixed(1)} frames per second`;
      [start, frames] = [performance.now(), 0];
    }
  }
  $("download").disabled = !shown?.labels;
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").textContent = "Use camera";
  $("rate").textContent = "";
}

function download() {
  view.toBlob((blob) => {
    const link = Object.assign(document.createElement("a"), { download: "faces.png" });
    link.href = URL.createObjectURL(blob);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

async function start() {
  if (typeof WebAssembly === "undefined") return say("This browser has no WebAssembly; use a current one.");
  settings = await (await fetch("settings.json")).json();
  $("model").append(...Object.keys(settings.models).map((name) => new Option(name)));
  $("confidence").value = 100 * settings.config.minConfidence;
  worker = new Worker("worker.js", { type: "module" });
  worker.onerror = () => say("The models could not be started; reload the page in a current browser.");
  worker.onmessage = ({ data }) => {
    if (data.id !== waiting?.id) return; // of a photo that another has replaced
    if (data.error) waiting.reject(new Error(data.error));
    else waiting.resolve(data);
  };
  const take = (files) => (files[0] ? open(files[0]) : say("There is no image in what was given."));
  $("file").onchange = () => take($("file").files);
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => (event.preventDefault(), take(event.dataTransfer.files));
  document.onpaste = (event) => take(event.clipboardData.files);
  $("camera").onclick = () => (stream ? stopCamera() : startCamera());
  $("camera").hidden = !navigator.mediaDevices;
  $("opacity").oninput = () => shown?.labels && draw();
  $("model").onchange = $("confidence").onchange = segment;
  $("download").onclick = download;
  window.result = () => shown; // for tests
  document.querySelectorAll("fieldset").forEach((controls) => (controls.disabled = false));
  say("Ready: choose, drop or paste a photo.");
}

start().catch((error) => say(`The page could not be started: ${error.message}`));
