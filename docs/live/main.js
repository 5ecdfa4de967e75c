// The page: takes photos, asks the worker for their masks, and shows them.
const $ = (id) => document.getElementById(id);
const view = $("view"), video = $("video");
const say = (text) => ($("status").textContent = text);
const answers = new Map(); // functions that wait for the worker
let worker, settings, photo, shown, stream, asked = 0, photos = 0;
let turn = 0; // whoever waits gives up if it has changed: something newer is wanted

/** What the worker finds in a bitmap, which it returns: {model, bitmap, labels, faces, width, height}. */
function ask(bitmap, frame) {
  const minConfidence = Number($("confidence").value) / 100, id = ++asked;
  worker.postMessage({ id, bitmap, frame, minConfidence, number: photos, model: $("model").value }, [bitmap]);
  return new Promise((resolve, reject) => answers.set(id, { resolve, reject }));
}

/** Segment the photo in a file, or say in one sentence why not. */
async function open(file) {
  stopCamera();
  const mine = turn;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    if (mine !== turn) return;
    takePhoto(bitmap);
    shown = null;
    show(photo);
  } catch {
    return say(`${file.name ?? "This"} is not an image that the browser can read; choose a JPEG or PNG file.`);
  }
  await segment();
}

function takePhoto(bitmap) {
  photo = bitmap;
  photos++;
}

/** Segment the photo, again if a setting has changed. */
async function segment() {
  if (!photo || stream) return;
  const mine = ++turn;
  say("Looking for faces …");
  $("download").disabled = true;
  try {
    const result = await ask(await createImageBitmap(photo));
    if (mine !== turn) return;
    shown = result;
    draw();
    say(sentence(result));
    view.ariaLabel = `Photo: ${sentence(result)}`;
    $("download").disabled = !result.faces.length;
  } catch (error) {
    if (mine === turn) say(`The photo could not be segmented: ${error.message}`);
  }
}

/** What was found, in words. */
function sentence({ model, labels, faces }) {
  if (!faces.length) return "No face was found; try a lower minimum confidence.";
  const names = settings.models[model].classes.filter((_, index) => labels.includes(index + 1)).join(", ");
  const sure = faces.map(({ confidence }) => `${Math.round(100 * confidence)} %`).join(", ");
  return `${faces.length} face${faces.length > 1 ? "s" : ""} found (confidence ${sure}), with ${names || "no part visible"}.`;
}

/** A bitmap in the page. */
function show(bitmap) {
  [view.width, view.height, view.hidden] = [bitmap.width, bitmap.height, false];
  view.getContext("2d").drawImage(bitmap, 0, 0);
}

/** The photo with the classes' colours over it. */
function draw() {
  const { model, bitmap, labels, width, height } = shown, mask = new ImageData(width, height);
  const colours = [[0, 0, 0, 0], ...settings.models[model].colours.map((colour) => [...colour, 255])];
  const palette = new Uint32Array(new Uint8Array(colours.flat()).buffer);
  const pixels = new Uint32Array(mask.data.buffer);
  for (let i = 0; i < labels.length; i++) pixels[i] = palette[labels[i]];
  const layer = new OffscreenCanvas(width, height), context = view.getContext("2d");
  layer.getContext("2d").putImageData(mask, 0, 0);
  show(bitmap);
  context.globalAlpha = Number($("opacity").value) / 100;
  context.drawImage(layer, 0, 0);
}

async function startCamera() {
  const mine = ++turn;
  try {
    const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
    if (mine !== turn) return media.getTracks().forEach((track) => track.stop());
    video.srcObject = stream = media;
    await video.play();
  } catch {
    return say("The camera cannot be used; allow it for this page, or choose a photo.");
  }
  $("camera").textContent = "Stop camera";
  say("The camera is on.");
  view.ariaLabel = "The camera's picture";
  try {
    await film(mine);
  } catch (error) {
    say(`The camera's picture could not be segmented: ${error.message}`);
    stopCamera();
  }
}

/** Segment frame after frame as long as nothing else is wanted. */
async function film(mine) {
  let time, start = performance.now(), count = 0;
  for (let frame = 0; mine === turn; frame++) {
    while (video.currentTime === time) await new Promise(requestAnimationFrame); // no new frame yet
    time = video.currentTime;
    const result = await ask(await createImageBitmap(video), frame);
    if (mine !== turn) return;
    shown = result;
    takePhoto(result.bitmap); // for the time when the camera is off
    draw();
    $("download").disabled = !result.faces.length;
    count++;
    const seconds = (performance.now() - start) / 1000;
    if (seconds < 1) continue;
    $("rate").textContent = `${(count / seconds).toFixed(1)} frames per second`;
    [start, count] = [performance.now(), 0];
  }
}

function stopCamera() {
  turn++;
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
    const { resolve, reject } = answers.get(data.id);
    answers.delete(data.id);
    data.error ? reject(new Error(data.error)) : resolve(data);
  };
  const take = (files) => (files[0] ? open(files[0]) : say("There is no image in what was given."));
  $("file").onchange = () => take($("file").files);
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => (event.preventDefault(), take(event.dataTransfer.files));
  document.onpaste = (event) => take(event.clipboardData.files);
  $("camera").onclick = () => (stream ? stopCamera() : startCamera());
  $("camera").hidden = !navigator.mediaDevices;
  $("opacity").oninput = () => shown && draw();
  $("model").onchange = $("confidence").onchange = segment;
  $("download").onclick = download;
  window.result = () => shown; // for tests
  document.querySelectorAll("fieldset").forEach((controls) => (controls.disabled = false));
  say("Ready: choose, drop or paste a photo.");
}

start().catch((error) => say(`The page could not be started: ${error.message}`));
