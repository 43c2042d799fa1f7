// The editors of one test, in one process: the real clients, driven by lines of JSON.
//
// In:   {"id": 7, "editor": "ada", "do": "insert", "with": ["body", 0, "text"]}
// Out:  {"id": 7, "value": …} or {"id": 7, "error": "…"}, in order, and whenever something has
//       happened {"editor": "ada", "event": "synced", "data": …}. editors.py is the other end.

import { putForward } from "./clock.mjs";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import * as v2 from "hocuspocus-v2";
import * as v3 from "hocuspocus-v3";
import * as v4 from "hocuspocus-v4";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const FRAME_SHOWN = 400; // bytes of a frame that are told
const hocuspocus = { "hocuspocus-v2": v2, "hocuspocus-v3": v3, "hocuspocus-v4": v4 };
const editors = new Map();

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const tell = (editor, event, data = null) => say({ editor, event, data });

// Nothing that a provider throws may pass unseen: the test fails at its end.
process.on("uncaughtException", (error) => tell("", "crash", String(error?.stack ?? error)));
process.on("unhandledRejection", (error) => tell("", "crash", String(error?.stack ?? error)));
for (const level of ["log", "warn", "error"]) {
  console[level] = (...words) => tell("", "console", words.map(String).join(" "));
}

// The sockets of an editor tell every frame, and do what networks do.
const socketOf = (name) =>
  class extends WebSocket {
    losing = 0; // frames

    constructor(...where) {
      super(...where);
      // `ws` throws what nobody listens to: closing a socket that is still connecting is such an
      // error, and providers take their listeners away before they close.
      this.on("error", (error) => tell(name, "error", error.message));
      this.on("message", (data) => tell(name, "received", shown(data)));
      this.on("close", (code, reason) => tell(name, "ended", [code, String(reason)]));
    }

    send(data, ...more) {
      if (this.losing-- > 0) return;
      tell(name, "sent", shown(data));
      super.send(data, ...more);
    }

    // The network goes away, and only this side notices.
    vanish() {
      const close = this.listeners("close");
      this.removeAllListeners("message");
      this.removeAllListeners("close");
      this.send = this.close = () => {};
      for (const listener of close) listener.call(this, 1006, Buffer.alloc(0));
    }
  };

const shown = (data) => {
  const bytes = Buffer.from(data);
  return [bytes.subarray(0, FRAME_SHOWN).toString("hex"), bytes.length];
};

class Editor {
  constructor(name, { kind, url, document, token, beside, session, clientId, stubborn }) {
    this.name = name;
    this.doc = new Y.Doc();
    if (clientId) this.doc.clientID = clientId;
    this.doc.on("update", () => tell(name, "changed"));
    const events =
      kind === "y-websocket"
        ? this.openYWebsocket(url, document, token, stubborn)
        : this.openHocuspocus(hocuspocus[kind], kind, { url, document, token, beside, session });
    this.provider.awareness.on("update", (change) => tell(name, "awareness", change));
    for (const event of events) {
      this.provider.on(event, (data) => tell(name, event, plain(data)));
    }
  }

  openYWebsocket(url, document, token, stubborn) {
    this.provider = new WebsocketProvider(url, document, this.doc, {
      params: token === null ? {} : { token },
      WebSocketPolyfill: socketOf(this.name),
      disableBc: true, // editors of one process would talk past the relay
      ...(stubborn && { shouldReconnect: () => true }), // as before 3.1
    });
    this.wire = this.provider;
    return ["status", "sync", "closed"];
  }

  openHocuspocus({ HocuspocusProvider, HocuspocusProviderWebsocket }, kind, options) {
    const configuration = { name: options.document, document: this.doc, token: options.token };
    const connection = {
      url: options.url,
      WebSocketPolyfill: socketOf(this.name),
      // Its own back-off begins with a second.
      delay: 100,
      minDelay: 50,
      maxDelay: 300,
    };
    if (kind === "hocuspocus-v2") configuration.broadcast = false;
    if (options.session) configuration.sessionAwareness = true;
    if (options.beside !== null) {
      configuration.websocketProvider = editors.get(options.beside).wire;
    } else if (kind === "hocuspocus-v2") {
      // It would not pass the polyfill on.
      configuration.websocketProvider = new HocuspocusProviderWebsocket(connection);
    } else {
      Object.assign(configuration, connection);
    }
    this.provider = new HocuspocusProvider(configuration);
    this.wire = this.provider.configuration.websocketProvider;
    this.sharesWire = options.beside !== null;
    if (this.sharesWire && kind !== "hocuspocus-v2") this.provider.attach();
    return [
      "status",
      "synced",
      "authenticated",
      "authenticationFailed",
      "stateless",
      "unsyncedChanges",
      "close",
    ];
  }

  get socket() {
    return this.wire.ws ?? this.wire.webSocket;
  }

  // The document

  insert(root, index, text) {
    this.doc.getText(root).insert(index, text);
  }

  append(root, text) {
    this.insert(root, this.doc.getText(root).length, text);
  }

  erase(root, index, length) {
    this.doc.getText(root).delete(index, length);
  }

  text(root) {
    return this.doc.getText(root).toString();
  }

  includes(root, text) {
    return this.text(root).includes(text);
  }

  // Large texts stay in this process.
  fill(root, length) {
    const words = Array.from({ length: length / 8 }, (_, index) => String(index).padEnd(8));
    this.insert(root, 0, words.join(""));
  }

  size(root) {
    return this.doc.getText(root).length;
  }

  digest(root) {
    return createHash("sha256").update(this.text(root)).digest("hex");
  }

  set(root, key, value) {
    this.doc.getMap(root).set(key, value);
  }

  map(root) {
    return this.doc.getMap(root).toJSON();
  }

  clientId() {
    return this.doc.clientID;
  }

  // Whatever a program of Yjs does with the document.
  evaluate(source) {
    return new Function("Y", "doc", source)(Y, this.doc);
  }

  apply(update) {
    Y.applyUpdate(this.doc, Buffer.from(update, "hex"));
  }

  // Who is there

  present(state) {
    this.provider.awareness.setLocalState(state);
  }

  others() {
    const states = [...this.provider.awareness.getStates()];
    return Object.fromEntries(states.filter(([id]) => id !== this.doc.clientID));
  }

  clock() {
    return this.provider.awareness.meta.get(this.doc.clientID).clock;
  }

  // The clocks of this process go forward at once.
  later(seconds) {
    putForward(seconds);
  }

  // The connection

  synced() {
    return this.provider.synced;
  }

  unsynced() {
    return this.provider.unsyncedChanges;
  }

  hasUnsynced() {
    return this.provider.hasUnsyncedChanges;
  }

  // The count is 0 also before the first connection.
  saved() {
    return this.provider.synced && !this.hasUnsynced();
  }

  scope() {
    return this.provider.authorizedScope ?? null;
  }

  connected() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    this.wire.connect();
  }

  disconnect() {
    this.wire.disconnect();
  }

  // The socket breaks, and the provider is kept from connecting again.
  cut() {
    this.wire.shouldConnect = false;
    this.socket.terminate();
  }

  vanish() {
    this.ghost = this.socket;
    this.ghost.vanish();
  }

  // The other side of a socket that has vanished learns of it.
  bury() {
    this.ghost.terminate();
  }

  lose(frames) {
    this.socket.losing = frames;
  }

  // Returns how many changes are unsynced then: the answer may come before a second order.
  forceSync() {
    this.provider.forceSync();
    return this.provider.unsyncedChanges ?? null;
  }

  // After a denial, with another token.
  retry(token) {
    if (this.provider === this.wire) {
      this.provider.params = { token };
      this.provider.connect();
      return;
    }
    this.provider.configuration.token = token;
    if (this.provider.attach) {
      this.provider.detach();
      this.provider.attach();
    } else {
      this.provider.connect(); // v2 has detached itself
    }
  }

  // What Hocuspocus' own tests do when a token is refused.
  tokenAndSync(token) {
    this.renew(token);
    this.provider.startSync();
  }

  renew(token) {
    this.provider.configuration.token = token;
    this.provider.sendToken();
  }

  stateless(payload) {
    this.provider.sendStateless(payload);
  }

  raw(hex) {
    this.socket.send(Buffer.from(hex, "hex"));
  }

  destroy() {
    this.provider.destroy();
    if (!this.sharesWire && this.wire !== this.provider) this.wire.destroy();
    this.doc.destroy();
    editors.delete(this.name);
  }
}

// What an event brings, as far as it is plain data.
const plain = (data) => {
  if (typeof data !== "object" || data === null) return data ?? null;
  const { code, reason, status, payload, scope, number, state, event } = data;
  if (event) return { code: event.code, reason: String(event.reason) };
  return { code, reason, status, payload, scope, number, state };
};

const handle = async ({ editor, do: action, with: values }) => {
  if (action === "open") {
    editors.set(editor, new Editor(editor, values[0]));
    return null;
  }
  return (await editors.get(editor)[action](...values)) ?? null;
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  try {
    say({ id: order.id, value: await handle(order) });
  } catch (error) {
    say({ id: order.id, error: String(error.stack ?? error) });
  }
}
process.exit(0);
