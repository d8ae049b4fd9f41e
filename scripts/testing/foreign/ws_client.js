// A client on npm's `ws`; see foreign_clients.py for what it is told and what it tells.
'use strict';
const fs = require('node:fs');
const { WebSocket } = require('ws');

const plan = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const ca = plan.authority ? fs.readFileSync(plan.authority) : undefined;
const cert = plan.certificate ? fs.readFileSync(plan.certificate) : undefined;
const key = plan.key ? fs.readFileSync(plan.key) : undefined;
const socket = new WebSocket(plan.url, { perMessageDeflate: plan.deflate, maxPayload: 0, ca, cert, key });
let received = 0;

function send(text) {
  if (!plan.fragmented) return socket.send(text);
  // As alpaca-py sends: binary, in pieces, the last one empty.
  const bytes = Buffer.from(text);
  const half = Math.floor(bytes.length / 2);
  socket.send(bytes.subarray(0, half), { binary: true, fin: false });
  socket.send(bytes.subarray(half), { binary: true, fin: false });
  socket.send(Buffer.alloc(0), { binary: true, fin: true });
}

socket.on('open', () => {
  say({ event: 'open', extensions: socket.extensions });
  if (plan.ping) socket.ping(plan.ping);
  plan.say_first.forEach(send);
});
socket.on('pong', (payload) => say({ event: 'pong', payload: payload.toString() }));
socket.on('message', (data, isBinary) => {
  const text = data.toString('utf8');
  say({ event: 'message', data: text, binary: isBinary });
  received += 1;
  for (const [part, answer] of plan.answers) if (text.includes(part)) send(answer);
  if (received === plan.messages) socket.close(plan.close_code, plan.close_reason);
});
socket.on('unexpected-response', (request, response) => {
  say({ event: 'refused', status: response.statusCode });
  process.exit(0);
});
socket.on('error', (error) => say({ event: 'error', text: error.message }));
socket.on('close', (code, reason) => say({ event: 'close', code, reason: reason.toString() }));
