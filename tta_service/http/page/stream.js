// The stream of a camera by WebSocket: pictures go out as fast as they are answered, one message for each strategy.
import { getKey } from "./api.js";
import { toJpeg } from "./picture.js";

const IN_FLIGHT = 2; // pictures on their way: one is encoded while the other travels
const AGAIN = 2000; // milliseconds until a lost connection is opened again
const SIDE = 448; // pixels of the longer side of a frame
const encoder = new TextEncoder();

export class CameraStream {
  // `grab` gives the source of the next picture, {image, width, height}, or null; `choices` the strategies of now.
  constructor({ labels, session, grab, choices, onAnswer, onLesson, onState }) {
    Object.assign(this, { labels, session, grab, choices, onAnswer, onLesson, onState });
    this.frame = 0; // ids grow over all connections of this stream
    this.sent = 0; // pictures
    this.open();
  }

  open() {
    this.waiting = new Map(); // frames without an answer, by id
    this.onState("connecting");
    const socket = new WebSocket(new URL("v1/stream", location.href).href.replace(/^http/, "ws"));
    this.socket = socket;
    socket.onopen = () => {
      const open = { labels: { label_set: this.labels }, session_id: this.session, policy: "POLICY_DROP_OLDEST", buffer: 16 };
      socket.send(JSON.stringify({ ...(getKey() ? { token: getKey() } : {}), open }));
      this.timer = setInterval(() => this.pump(), 15);
    };
    socket.onmessage = ({ data }) => this.read(JSON.parse(data));
    socket.onclose = ({ code }) => {
      clearInterval(this.timer);
      if (this.ended) return;
      const refused = code >= 4400 && code < 4500;
      if (!refused) this.onState("away");
      if (!refused) this.retry = setTimeout(() => this.open(), AGAIN);
    };
  }

  async pump() {
    const choices = this.choices();
    if (this.grabbing || !choices.length || this.waiting.size > (IN_FLIGHT - 1) * choices.length) return;
    const source = this.grab();
    if (!source) return;
    this.grabbing = true;
    const taken = performance.now();
    const picture = await toJpeg(source.image, source.width, source.height, SIDE, 0.85).then((blob) => blob.arrayBuffer());
    this.grabbing = false;
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.sent += 1;
    for (const strategy of choices) {
      const frame_id = ++this.frame;
      this.waiting.set(String(frame_id), { taken, name: strategy.name });
      const head = encoder.encode(JSON.stringify({ frame_id, options: { strategy, top_k: this.labels.names.length, smooth: {} } }));
      const message = new Uint8Array(4 + head.length + picture.byteLength);
      new DataView(message.buffer).setUint32(0, head.length);
      message.set(head, 4);
      message.set(new Uint8Array(picture), 4 + head.length);
      this.socket.send(message);
    }
  }

  read({ answer, error, lesson, problem, draining }) {
    if (answer || error) {
      const id = (answer ?? error).frame_id;
      const { taken, name } = this.waiting.get(id) ?? {};
      for (const waiting of [...this.waiting.keys()]) if (Number(waiting) <= Number(id)) this.waiting.delete(waiting); // answers keep their order
      if (name) this.onAnswer({ name, id, age: performance.now() - taken, dropped: answer?.dropped_since_last ?? 0, answer: answer?.response, problem: error?.status.message });
    }
    if (lesson) this.onLesson(lesson);
    if (problem) this.onState("refused", problem);
    else if (!draining) this.onState("running");
  }

  teach(frame, word) {
    this.socket.send(JSON.stringify({ lesson: { frame_id: frame, ...word } }));
  }

  close() {
    this.ended = true;
    clearInterval(this.timer);
    clearTimeout(this.retry);
    this.socket.close();
  }
}
