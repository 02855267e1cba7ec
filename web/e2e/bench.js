// Calls to Asterisk's echo through Ringway beside calls over Asterisk's own WebSocket: how
// long until the answer and until one hears oneself, from INVITE on, in turns on one page each.
// npm run bench; PAIRS (12), LIBRARY (jssip), ASTERISK (sid). Prints lines of JSON.

import { launch } from './lib/browser.js';
import { Client } from './lib/client.js';
import { servePages } from './lib/pages.js';
import { missing, startPBX } from './lib/asterisk.js';
import { freePorts } from './lib/ringway.js';

const pairs = Number(process.env.PAIRS ?? 12);
const library = process.env.LIBRARY ?? 'jssip';
const suite = process.env.ASTERISK ?? 'sid';
const warm = 2; // pairs that don't count
const echo = '100';

if (missing(suite)) throw new Error(missing(suite));
const [port] = await freePorts(1);
const users = { alice: 'secret', bob: 'secret' };
const pbx = await startPBX({ mode: 'relay', suite, users, values: { HTTP: 'yes', WS: port } });
const pages = await servePages('e2e/dist');
const browser = await launch();

async function open(user, ws) {
  const context = await browser.newContext();
  const { domain } = pbx.gateway;
  const client = new Client(await context.newPage(), { library, ws, domain, user, password: users[user], hz: 900 });
  await client.start(pages.url);
  await client.registered();
  return client;
}

// call gives the ms from the first INVITE to the 200 and to the first sound of oneself.
async function call(client) {
  const id = await client.call(echo);
  const heard = client.page.evaluate((id) => new Promise((resolve) => {
    const samples = new Float32Array(256);
    const look = setInterval(() => {
      const { ears } = window.host.last(id);
      ears?.analyser.getFloatTimeDomainData(samples);
      if (!samples.some((v) => Math.abs(v) > 0.002)) return;
      clearInterval(look);
      resolve(performance.timeOrigin + performance.now());
    }, 1);
  }), id);
  await client.state('up', id);
  const [sound, { first, ok }] = await Promise.all([heard, client.page.evaluate(() => {
    const all = window.host.messages();
    const ok = all.findLast((m) => m.dir === '<' && /^SIP\/2\.0 200 /.test(m.text) && /\r\nCSeq: *\d+ INVITE/i.test(m.text));
    const [callID] = /\r\nCall-ID:.*/i.exec(ok.text);
    return { ok: ok.at, first: all.find((m) => m.dir === '>' && /^INVITE /.test(m.text) && m.text.includes(callID)).at };
  })]);
  await client.hears(client, id);
  await client.hangup(id);
  await client.state('ended', id);
  return { ok: ok - first, sound: sound - first };
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

try {
  const through = await open('alice', pbx.gateway.wsUrl);
  const direct = await open('bob', `ws://${pbx.asterisk.ip}:${port}/ws`);
  const taken = { through: [], direct: [] };
  for (let n = 0; n < pairs + warm; n++) {
    const turn = [['through', through], ['direct', direct]];
    if (n % 2) turn.reverse();
    for (const [name, client] of turn) {
      const times = await call(client);
      if (n >= warm) taken[name].push(times);
    }
  }
  for (const what of ['ok', 'sound']) {
    const of = (name) => taken[name].map((t) => t[what]);
    const [ours, theirs] = [median(of('through')), median(of('direct'))];
    console.log(JSON.stringify({
      figure: what === 'ok' ? 'invite_200' : 'first_sound', library, pairs,
      through_ms: ours.toFixed(1), direct_ms: theirs.toFixed(1), adds_ms: (ours - theirs).toFixed(1),
      through: of('through').map(Math.round), direct: of('direct').map(Math.round),
    }));
  }
} finally {
  await browser.close();
  await pages.stop();
  await pbx.stop();
}
