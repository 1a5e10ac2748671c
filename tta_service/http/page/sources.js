// Where the frames of Live come from. A source has `element` to be shown, `grab()`, `seen` (frames so far) and `stop()`.
import { openCamera } from "./picture.js";

export async function fromWebcam() {
  const stream = await openCamera();
  return fromVideo((video) => (video.srcObject = stream), () => stream.getTracks().forEach((track) => track.stop()));
}

export function fromFile(file) {
  const url = URL.createObjectURL(file);
  return fromVideo((video) => Object.assign(video, { src: url, loop: true }), () => URL.revokeObjectURL(url));
}

async function fromVideo(attach, release) {
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  const source = { element: video, seen: 0, fresh: false };
  const count = (_, { presentedFrames }) => {
    Object.assign(source, { seen: presentedFrames, fresh: true });
    video.requestVideoFrameCallback(count);
  };
  source.grab = () => {
    if (!source.fresh) return null;
    source.fresh = false;
    return { image: video, width: video.videoWidth, height: video.videoHeight };
  };
  source.stop = () => {
    video.pause();
    release();
  };
  video.requestVideoFrameCallback?.(count);
  attach(video);
  await video.play().catch(() => {
    source.stop();
    throw new Error("This browser cannot play that video.");
  });
  return source;
}

// A virtual camera: it drifts over photos, four seconds each, in light that comes and goes.
export async function fromPhotos(files) {
  const photos = await Promise.all([...files].map((file) => createImageBitmap(file))).catch(() => {
    throw new Error("This browser cannot read one of these photos.");
  });
  const canvas = Object.assign(document.createElement("canvas"), { width: 448, height: 336 });
  const context = canvas.getContext("2d");
  const source = { element: canvas, seen: 0, fresh: false };
  const draw = () => {
    const seconds = source.seen / 30;
    const photo = photos[Math.floor(seconds / 4) % photos.length];
    const scale = Math.max(canvas.width / photo.width, canvas.height / photo.height) * (1.15 + 0.1 * Math.sin(seconds / 2));
    const [width, height] = [photo.width * scale, photo.height * scale];
    context.filter = `brightness(${0.85 + 0.3 * Math.sin(seconds / 3)})`;
    context.drawImage(photo, (canvas.width - width) * (0.5 + 0.5 * Math.sin(seconds / 1.7)), (canvas.height - height) * (0.5 + 0.5 * Math.cos(seconds / 2.3)), width, height);
    Object.assign(source, { seen: source.seen + 1, fresh: true });
  };
  draw();
  const timer = setInterval(draw, 1000 / 30);
  source.grab = () => {
    if (!source.fresh) return null;
    source.fresh = false;
    return { image: canvas, width: canvas.width, height: canvas.height };
  };
  source.stop = () => {
    clearInterval(timer);
    photos.forEach((photo) => photo.close());
  };
  return source;
}
