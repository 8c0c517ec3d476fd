// Ask for one cancellation with Node.js alone: node from_node.mjs UID TOKEN REFERENCE1
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { createInterface } from "node:readline";

const [partnerTxnUid, tokenId, reference1] = process.argv.slice(2);
const message = JSON.stringify({
  body: JSON.stringify([[], { partnerTxnUid, tokenId, reference1 }, null]),
  "content-type": "application/json",
  "content-encoding": "utf-8",
  headers: { id: randomUUID(), task: "kplus.cancel_token" },
  properties: {},
});

// A client library makes one line of the rest, and knows TLS and Sentinel; ioredis for instance:
//   await new Redis(process.env.KPLUS_BROKER_URL).lpush("kplus.cancel", message);
const address = process.env.KPLUS_BROKER_URL;
const broker = URL.canParse(address) ? new URL(address) : {};
if (broker.protocol !== "redis:") throw new Error("KPLUS_BROKER_URL must be a redis:// address");
const socket = connect(Number(broker.port || 6379), broker.hostname);
socket.setTimeout(5000, () => socket.destroy(new Error("Redis does not answer")));
const replies = createInterface({ input: socket })[Symbol.asyncIterator]();

async function redis(...words) {
  const bulks = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  socket.write(`*${words.length}\r\n${bulks.join("")}`);
  const { value: reply = "-hung up" } = await replies.next();
  if (reply.startsWith("-")) throw new Error(`Redis: ${reply.slice(1)}`);
}

const identity = [broker.username, broker.password].filter(Boolean).map(decodeURIComponent);
if (identity.length) await redis("AUTH", ...identity);
await redis("SELECT", broker.pathname.slice(1) || "0");
await redis("LPUSH", "kplus.cancel", message);
socket.end();
