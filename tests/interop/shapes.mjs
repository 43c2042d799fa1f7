// Documents as editors make them, written and read by Yjs itself. Reads one order a line: the bytes of
// the document so far in hex, and a program; writes what the program returns, and the bytes then.
import { createInterface } from "node:readline";
import * as Y from "yjs";

const plain = (value) => {
  if (value instanceof Y.XmlElement) {
    return {
      tag: value.nodeName,
      attributes: value.getAttributes(),
      children: value.toArray().map(plain),
    };
  }
  if (value instanceof Y.XmlText || value instanceof Y.Text) return value.toDelta().map(run);
  if (value instanceof Y.XmlFragment) return value.toArray().map(plain);
  if (value instanceof Y.AbstractType) return value.toJSON();
  return value;
};
const run = (op) => ({ ...op, insert: plain(op.insert) });

for await (const line of createInterface({ input: process.stdin })) {
  const { update, source, clientId } = JSON.parse(line);
  const doc = new Y.Doc();
  if (clientId) doc.clientID = clientId;
  try {
    if (update) Y.applyUpdate(doc, Buffer.from(update, "hex"));
    const before = Y.encodeStateVector(doc);
    const value = new Function("Y", "doc", "plain", source)(Y, doc, plain) ?? null;
    const written = Buffer.from(Y.encodeStateAsUpdate(doc, before)).toString("hex");
    const whole = Buffer.from(Y.encodeStateAsUpdate(doc)).toString("hex");
    console.log(JSON.stringify({ value, written, whole }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack ?? error) }));
  }
}
