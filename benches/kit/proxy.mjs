// What a team would write itself in Node: a proxy that seals and opens fields with AES-256-GCM.
// node proxy.mjs UPSTREAM_PORT FIELDS [TRANSIT_PORT]; prints its address. With a transit port every
// value is opened by a call of its own, as with a key service.
import http from "node:http";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const [upstream, fields, transit] = process.argv.slice(2);
const names = new Set(fields.split(","));
const key = Buffer.from("a key of the bench, nothing else");
const agent = new http.Agent({ keepAlive: true });
const calls = new http.Agent({ keepAlive: true });

function seal(text) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString("base64");
}

function open(text) {
  const bytes = Buffer.from(text, "base64");
  const cipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
  cipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([cipher.update(bytes.subarray(12, -16)), cipher.final()]).toString("utf8");
}

function ask(options, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(options, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve([answer, Buffer.concat(parts)]));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function call(ciphertext) {
  const body = JSON.stringify({ ciphertext });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const options = { host: "127.0.0.1", port: transit, path: "/v1/transit/decrypt/lab", method: "POST", headers, agent: calls };
  const [, answer] = await ask(options, body);
  return Buffer.from(JSON.parse(answer).plaintext, "base64").toString("utf8");
}

async function each(record, change) {
  await Promise.all(Object.keys(record).map(async (name) => {
    if (names.has(name) && typeof record[name] === "string") record[name] = await change(record[name]);
  }));
  return record;
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    let body = Buffer.concat(parts);
    if (body.length > 0) body = Buffer.from(JSON.stringify(await each(JSON.parse(body), seal)));
    const headers = { ...request.headers, "content-length": body.length };
    const options = { host: "127.0.0.1", port: upstream, path: request.url, method: request.method, headers, agent };
    const [answer, found] = await ask(options, body);
    let text = found;
    if (text.length > 0) text = Buffer.from(JSON.stringify(await each(JSON.parse(text), transit ? call : open)));
    response.writeHead(answer.statusCode, { ...answer.headers, "content-length": text.length });
    response.end(text);
  });
});
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
