// Recording from the camera.

import { byId } from "./format.js";

const LONGEST = 120;

/** Open the dialog; `recorded` gets each finished recording as a file. */
export const record = async (recorded) => {
  const [dialog, live, note, start, cancel] = ["camera", "camera-live", "camera-note", "camera-start", "camera-cancel"].map(byId);
  let stream;
  let recorder;
  let ticking;
  note.textContent = "The picture stays on this machine until you stop the recording.";
  start.textContent = "Start";
  start.disabled = true;
  dialog.showModal();
  const close = () => {
    clearInterval(ticking);
    if (recorder?.state === "recording") { recorder.ondataavailable = null; recorder.onstop = null; recorder.stop(); }
    stream?.getTracks().forEach((track) => track.stop());
    live.srcObject = null;
    start.onclick = null;
    if (dialog.open) dialog.close();
  };
  cancel.onclick = close;
  dialog.onclose = close;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
  } catch (error) {
    note.textContent = error.name === "NotAllowedError"
      ? "The browser does not let this page use the camera. Allow it in the address bar, then try again."
      : "No camera was found. Connect one, or choose a file instead.";
    return;
  }
  if (!dialog.open) { stream.getTracks().forEach((track) => track.stop()); return; }
  live.srcObject = stream;
  await live.play().catch(() => undefined);
  start.disabled = false;
  start.onclick = () => {
    const parts = [];
    const began = performance.now();
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      const kind = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
      const name = `Recording ${new Date().toTimeString().slice(0, 8).replaceAll(":", ".")}.${kind}`;
      recorder = null;
      close();
      recorded(new File(parts, name, { type: `video/${kind}` }));
    };
    recorder.start();
    start.textContent = "Stop";
    start.onclick = () => recorder.stop();
    ticking = setInterval(() => {
      const seconds = Math.floor((performance.now() - began) / 1000);
      note.textContent = `Recording, ${seconds} s`;
      if (seconds >= LONGEST) recorder?.stop();
    }, 250);
  };
};
