// A real Asterisk with the configuration of testdata/asterisk, and a gateway before it.
// .ci/asterisk.sh unpacks it; ASTERISK names the suite of Debian's that it is from.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { homedir, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start as startGateway } from './ringway.js';

const suite = process.env.ASTERISK ?? 'sid';
const tree = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'ringway', `asterisk-${suite}`);
const templates = fileURLToPath(new URL('../../../testdata/asterisk/', import.meta.url));
const patience = 15_000; // ms

export const tone = 1004; // Hz of what Asterisk plays
export const music = 650; // Hz of what it plays to who waits

// missing says why nothing here can be tested.
export const missing = existsSync(join(tree, 'VERSION')) ? false
  : `SKIPPED: no Asterisk from ${suite} (.ci/asterisk.sh ${suite} unpacks one)`;

let hosts = 0;

// startPBX gives { gateway, asterisk, stop }. With mode "trunk" the gateway keeps the
// users ({ name: password }), with "relay" Asterisk does; "alias" is that with
// contacts of the gateway's own.
export async function startPBX(mode, users) {
  const ip = `127.71.0.${++hosts}`;
  const [port, ami] = await freePorts(ip, 2);
  const relay = mode !== 'trunk';
  const alias = mode === 'alias' || relay && await version() < 20; // 16 forgets the Path of a random contact
  const gateway = await startGateway({
    users: relay ? {} : users,
    settings: {
      ...(relay && { domain: undefined, domains: { 'example.test': { registrar: 'pbx' } } }),
      upstreams: { pbx: { hops: [`sip:${ip}:${port}`], health: 'off', ...(alias && { contact: 'alias' }) } },
      routes: [{ match: '^[0-9]', to: 'pbx' }],
    },
  });
  const { sip } = gateway;
  const asterisk = await startAsterisk({ ip, port, ami, gateway: sip, users: relay ? users : {} })
    .catch((error) => gateway.stop().then(() => { throw error; }));
  return {
    mode,
    gateway,
    asterisk,
    // number is how one dials a user by way of Asterisk, contact how Asterisk does.
    number: (user) => (relay ? user : `3${user}`),
    contact: (user) => (relay ? `PJSIP/${user}` : `PJSIP/ringway/sip:${user}@${sip}`),
    stop: async () => {
      await gateway.stop();
      await asterisk.stop();
    },
  };
}

async function startAsterisk({ ip, port, ami, gateway, users }) {
  const modules = await findModules(tree);
  const dir = await mkdtemp(join(tmpdir(), 'asterisk')); // short, for its control socket
  const now = await version() >= 18;
  const own = Object.values(networkInterfaces()).flat().filter((a) => a.family === 'IPv4' && !a.internal);
  const values = {
    RUN: dir, MODULES: modules, DATA: join(tree, 'usr/share/asterisk'), AT: `${ip}:${port}`, IP: ip, AMI: ami, WS: 0, HTTP: 'no',
    GATEWAYS: '127.0.0.1', GATEWAY: gateway, DENY: now ? 'deny' : 'blacklist', AUTH: now ? 'digest' : 'userpass',
    BIND_MEDIA: 'no', CANDIDATES: own.map((a) => `${a.address} => ${ip}`).join('\n'), QUALIFY: 0, EARLY: 2, HOLD: 'no', DTMF: 'info',
    USERS: Object.keys(users).map((u) => `[${u}](user)\nauth = ${u}\naors = ${u}\n[${u}](phones)\n[${u}](password)\nusername = ${u}\n`).join(''),
  };
  for (const name of (await readdir(templates)).filter((f) => f.endsWith('.conf'))) {
    let text = (await readFile(join(templates, name), 'utf8')).replace(/@([A-Z_]+)@/g, (_, key) => values[key]);
    if (name === 'modules.conf') {
      text = text.replace(/^(?:pre)?load = (\S+)\n/gm, (line, file) => (existsSync(join(modules, file)) ? line : ''));
    }
    await writeFile(join(dir, name), text);
  }
  await mkdir(join(dir, 'music'));
  await writeFile(join(dir, 'music', 'tone.sln'), sine(music));
  const child = spawn(join(tree, 'bin/asterisk'), ['-C', join(dir, 'asterisk.conf'), '-f'], { stdio: 'ignore' });
  const exited = new Promise((resolve) => { child.on('exit', resolve); child.on('error', resolve); });
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
    await rm(dir, { recursive: true, force: true });
  };
  try {
    return { dir, stop, ...await manager(ip, ami, exited) };
  } catch (error) {
    const log = await readFile(join(dir, 'full'), 'utf8').catch(() => '');
    await stop();
    throw new Error(`Asterisk does not start: ${error.message}\n${log.slice(-4000)}`);
  }
}

const version = async () => Number(/\d+/.exec(await readFile(join(tree, 'VERSION'), 'utf8'))[0]);

async function findModules(root) {
  const found = (await readdir(root, { recursive: true })).find((f) => f.endsWith('/chan_pjsip.so'));
  return join(root, found, '..');
}

// sine is ten seconds of a tone as Asterisk's sln files have it.
function sine(hz) {
  const samples = Int16Array.from({ length: 80_000 }, (_, i) => 9000 * Math.sin((2 * Math.PI * hz * i) / 8000));
  return new Uint8Array(samples.buffer);
}

// manager speaks to Asterisk's manager interface, and waits until all is up.
async function manager(ip, port, exited) {
  const socket = await connected(ip, port, exited);
  const events = [];
  const waiting = new Set();
  let rest = '';
  socket.setEncoding('utf8').on('error', () => {}).on('data', (text) => {
    const parts = (rest + text.replace(/^Asterisk Call Manager.*\r\n/, '')).split('\r\n\r\n');
    rest = parts.pop();
    events.push(...parts.map((p) => Object.fromEntries(p.split('\r\n').map((l) => l.split(/: ?(.*)/s, 2)))));
    for (const look of [...waiting]) look();
  });

  // event waits for one with these keys and values.
  const event = (wanted) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`Asterisk does not tell of ${JSON.stringify(wanted)}`)), patience);
    const look = () => {
      const found = events.find((e) => Object.entries(wanted).every(([k, v]) => e[k] === String(v)));
      if (!found) return;
      clearTimeout(late);
      waiting.delete(look);
      resolve(found);
    };
    waiting.add(look);
    look();
  });

  let count = 0;
  const act = async (Action, keys = {}) => {
    const ActionID = `a${++count}`;
    socket.write(Object.entries({ Action, ActionID, ...keys }).map(([k, v]) => `${k}: ${v}\r\n`).join('') + '\r\n');
    const answer = await event({ ActionID });
    if (answer.Response === 'Error') throw new Error(`${Action}: ${answer.Message}`);
    return answer;
  };
  await act('Login', { Username: 'test', Secret: 'test' });
  await event({ Event: 'FullyBooted' });
  return {
    event,
    act,

    // calls has Asterisk call, and the one who answers gets what the number gives.
    async calls(Channel, Exten) {
      const ChannelId = `call${++count}`;
      await act('Originate', {
        Channel, Exten, Context: 'pbx', Priority: 1, CallerID: 'Desk <200>', Timeout: 30_000, Async: true, ChannelId,
      });
      return (await event({ Event: 'Newchannel', Uniqueid: ChannelId })).Channel;
    },

    hangup: (Channel) => act('Hangup', { Channel, Cause: 16 }),
  };
}

// connected polls, as there is nothing to wait on but the port itself.
async function connected(host, port, exited) {
  let gone = false;
  exited.then(() => { gone = true; });
  for (const deadline = Date.now() + 2 * patience; ;) {
    const socket = await new Promise((resolve) => {
      const s = connect(port, host, () => resolve(s)).on('error', () => resolve(null));
    });
    if (socket) return socket;
    if (gone || Date.now() > deadline) throw new Error(gone ? 'it has ended' : 'its manager does not answer');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function freePorts(host, n) {
  const servers = await Promise.all(Array.from({ length: n }, () => new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, host, () => resolve(server));
  })));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}
