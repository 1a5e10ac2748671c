// Pictures that a person gives: files, the clipboard, a camera.
import { server } from "./api.js";

const TAKEN = ["image/jpeg", "image/png", "image/webp"];
const SIDE = 2048; // pixels of the longer side of what must be made smaller

// {blob, url, name, width, height}: as it is if the server takes it so, else as a JPEG. Throws Error for what is no picture.
export async function readPicture(file, name = file.name || "photo.jpg") {
  const limits = server.value.info?.limits ?? { image_bytes: 8 << 20, image_pixels: 16e6, image_side: 8192 };
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`${name} is not a picture that this browser can read.`);
  });
  const { width, height } = bitmap;
  const fits = file.size <= limits.image_bytes && width * height <= limits.image_pixels && Math.max(width, height) <= limits.image_side;
  const blob = TAKEN.includes(file.type) && fits ? file : await toJpeg(bitmap, width, height, SIDE);
  bitmap.close();
  return { blob, url: URL.createObjectURL(blob), name: blob === file ? name : name.replace(/(\.\w+)?$/, ".jpg"), width, height };
}

// A JPEG of a bitmap, a video or a canvas whose longer side has at most `side` pixels.
export function toJpeg(source, width, height, side, quality = 0.9) {
  const scale = Math.min(1, side / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

export const pictureIn = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? transfer?.files?.[0];

// The stream of a camera. Throws Error with a sentence.
export async function openCamera() {
  if (!navigator.mediaDevices) throw new Error("A browser gives its camera only to pages from localhost or by HTTPS.");
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "environment" } });
  } catch (error) {
    throw new Error(error.name === "NotAllowedError" ? "This page may not use the camera: allow it in the browser's settings." : "There is no camera that this browser could open.");
  }
}
