// The connection to /live-price: opened, watched, and opened again with a growing, jittered pause.

import { readFrame } from "./frames.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
// Codes from here to 4999 mean "do not come back".
const FINAL_CODE = 4500;

// States: connecting, live, quiet, down (as the server's heartbeats say), waiting (to connect
// again), closed (for good, until asked).
export class Feed {
  // onState(state, detail), onOpen(), onFrame(frame); heartbeatS: the server's longest silence.
  constructor({ url, heartbeatS, onState, onOpen, onFrame }) {
    this.url = url;
    // Who hears nothing for two heartbeats has lost the connection, says the protocol.
    this.silenceMs = heartbeatS * 2000 + 1000;
    this.onState = onState;
    this.onOpen = onOpen;
    this.onFrame = onFrame;
    this.socket = null;
    this.everOpen = false;
    this.failures = 0;
    this.retryAt = 0;
    this.clockOffsetMs = 0; // the server's clock less ours
    setInterval(() => this.watch(), 250);
    addEventListener("online", () => this.connectIfWaiting());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.connectIfWaiting();
    });
  }

  connect() {
    this.drop();
    this.setState("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.heardAt = performance.now();
    socket.onopen = () => {
      this.heardAt = performance.now();
      this.everOpen = true;
      this.onOpen();
    };
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = (event) => this.lost(event.code, event.reason);
  }

  connectIfWaiting() {
    if (this.state === "waiting") this.connect();
  }

  get isOpen() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  // Sends a message if there is a connection and says whether there was.
  send(message) {
    if (!this.isOpen) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  receive(data) {
    this.heardAt = performance.now();
    let frame;
    try {
      frame = readFrame(data);
    } catch {
      return; // a frame of a later protocol, perhaps; nothing that this page could show
    }
    if (["subscribed", "heartbeat", "pong"].includes(frame.type)) {
      this.failures = 0;
      if (typeof frame.timestamp === "number") this.clockOffsetMs = frame.timestamp - Date.now();
      if (["live", "quiet", "down"].includes(frame.feed)) this.setState(frame.feed, frame.last_tick);
    }
    this.onFrame(frame);
  }

  // Says that a price just moved, which no quiet feed does.
  moved() {
    if (this.state === "quiet") this.setState("live");
  }

  watch() {
    if (this.state === "waiting") {
      if (performance.now() >= this.retryAt) this.connect();
      else this.onState("waiting", this.secondsLeft());
    } else if (this.socket !== null && performance.now() - this.heardAt > this.silenceMs) {
      this.lost(1006, "");
    }
  }

  secondsLeft() {
    return Math.max(1, Math.ceil((this.retryAt - performance.now()) / 1000));
  }

  lost(code, reason) {
    this.drop();
    if (code >= FINAL_CODE && code <= 4999) {
      this.setState("closed", reason || `the server closed the connection (code ${code})`);
      return;
    }
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this.failures, LONGEST_PAUSE_MS);
    this.failures = Math.min(this.failures + 1, 10);
    this.retryAt = performance.now() + pause * (0.5 + Math.random() / 2);
    this.setState("waiting", this.secondsLeft());
  }

  drop() {
    if (this.socket === null) return;
    const socket = this.socket;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  setState(state, detail) {
    this.state = state;
    this.onState(state, detail);
  }
}
