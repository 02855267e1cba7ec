// A real Asterisk with the configuration of testdata/asterisk, and a gateway before it.
// .ci/asterisk.sh unpacks it, from a suite of Debian's.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { homedir, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start as startGateway } from './ringway.js';

const trees = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'ringway');
const templates = fileURLToPath(new URL('../../../testdata/asterisk/', import.meta.url));
const patience = 15_000; // ms

export const tone = 1004; // Hz of what Asterisk plays
export const music = 650; // Hz of what it plays to who waits
export const bleep = 400; // Hz of what begins a message

const treeOf = (suite) => join(trees, `asterisk-${suite}`);

// missing says why nothing can be tested with the Asterisk of a suite of Debian's.
export const missing = (suite) => (existsSync(join(treeOf(suite), 'VERSION')) ? false
  : `SKIPPED: no Asterisk from ${suite} (.ci/asterisk.sh ${suite} unpacks one)`);

let hosts = 0;

// startPBX gives { mode, gateway, asterisk, number, contact, stop }. With mode "trunk" the
// gateway keeps the users ({ name: password }), with "relay" Asterisk does; "alias" is that
// with contacts of the gateway's own. settings are of the gateway, upstream is of its
// upstream, values are for the files of testdata/asterisk, and user gives what is to follow
// the endpoint and the AOR of a user that Asterisk keeps: { endpoint, aor }, lines.
export async function startPBX({ mode, suite = 'sid', users, settings = {}, upstream = {}, values = {}, user = () => ({}) }) {
  const ip = `127.71.0.${++hosts}`;
  const [port, ami] = await freePorts(ip, 2);
  const relay = mode !== 'trunk';
  const alias = mode === 'alias' || relay && await version(suite) < 20; // 16 forgets the Path of a random contact
  const gateway = await startGateway({
    users: relay ? {} : users,
    settings: {
      ...(relay && { domain: undefined, domains: { 'example.test': { registrar: 'pbx' } } }),
      upstreams: { pbx: { hops: [`sip:${ip}:${port}`], health: 'off', ...(alias && { contact: 'alias' }), ...upstream } },
      routes: [{ match: '^[0-9]', to: 'pbx' }],
      ...settings,
    },
  });
  const { sip } = gateway;
  const asterisk = await startAsterisk({ suite, ip, port, ami, gateway: sip, users: relay ? users : {}, values, user })
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

async function startAsterisk({ suite, ip, port, ami, gateway, users, values: given, user }) {
  const tree = treeOf(suite);
  const modules = await findModules(tree);
  const dir = await mkdtemp(join(tmpdir(), 'asterisk')); // short, for its control socket
  const now = await version(suite) >= 18;
  const own = Object.values(networkInterfaces()).flat().filter((a) => a.family === 'IPv4' && !a.internal);
  const values = {
    RUN: dir, MODULES: modules, DATA: dir, AT: `${ip}:${port}`, IP: ip, AMI: ami, WS: 0, HTTP: 'no',
    GATEWAYS: '127.0.0.1', GATEWAY: gateway, DENY: now ? 'deny' : 'blacklist', AUTH: now ? 'digest' : 'userpass',
    BIND_MEDIA: 'no', CANDIDATES: own.map((a) => `${a.address} => ${ip}`).join('\n'), QUALIFY: 0, EARLY: 2, HOLD: 'no', DTMF: 'info',
    USERS: Object.keys(users).map((u) => userLines(u, user(u))).join(''),
    ...given,
  };
  for (const name of (await readdir(templates)).filter((f) => f.endsWith('.conf'))) {
    let text = (await readFile(join(templates, name), 'utf8')).replace(/@([A-Z_]+)@/g, (_, key) => values[key]);
    if (name === 'modules.conf') {
      text = text.replace(/^(?:pre)?load = (\S+)\n/gm, (line, file) => (existsSync(join(modules, file)) ? line : ''));
    }
    await writeFile(join(dir, name), text);
  }
  await writeData(dir, join(tree, 'usr/share/asterisk'));
  let child;
  let exited;
  const asterisk = { dir, ip };
  // again starts it on the same files; crash ends it without a word to anybody.
  asterisk.again = async () => {
    child = spawn(join(tree, 'bin/asterisk'), ['-C', join(dir, 'asterisk.conf'), '-f'], { stdio: 'ignore' });
    exited = new Promise((resolve) => { child.on('exit', resolve); child.on('error', resolve); });
    Object.assign(asterisk, await manager(ip, ami, exited));
  };
  asterisk.crash = () => {
    child.kill('SIGKILL');
    return exited;
  };
  asterisk.stop = async () => {
    await asterisk.crash();
    await rm(dir, { recursive: true, force: true });
  };
  asterisk.log = () => readFile(join(dir, 'full'), 'utf8').catch(() => '');
  try {
    await asterisk.again();
    return asterisk;
  } catch (error) {
    const log = await asterisk.log();
    await asterisk.stop();
    throw new Error(`Asterisk does not start: ${error.message}\n${log.slice(-4000)}`);
  }
}

const userLines = (u, { endpoint = '', aor = '' }) =>
  `[${u}](user)\nauth = ${u}\naors = ${u}\n${endpoint}[${u}](phones)\n${aor}[${u}](password)\nusername = ${u}\n`;

// writeData makes the directory of what Asterisk comes with one of our own, with the sounds
// that it needs.
async function writeData(dir, data) {
  for (const name of await readdir(data)) {
    if (name !== 'sounds') await symlink(join(data, name), join(dir, name)).catch(() => {});
  }
  await mkdir(join(dir, 'music'), { recursive: true });
  await writeFile(join(dir, 'music', 'tone.sln'), sine(music, 10));
  await mkdir(join(dir, 'sounds', 'en'), { recursive: true });
  for (const name of ['beep', 'auth-thankyou']) await writeFile(join(dir, 'sounds', 'en', `${name}.sln`), sine(bleep, 0.3));
}

const version = async (suite) => Number(/\d+/.exec(await readFile(join(treeOf(suite), 'VERSION'), 'utf8'))[0]);

async function findModules(root) {
  const found = (await readdir(root, { recursive: true })).find((f) => f.endsWith('/chan_pjsip.so'));
  return join(root, found, '..');
}

// sine is a tone of that many seconds as Asterisk's sln files have it.
function sine(hz, seconds) {
  const samples = Int16Array.from({ length: 8000 * seconds }, (_, i) => 9000 * Math.sin((2 * Math.PI * hz * i) / 8000));
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

  // find is one with these keys and values, which came after so many; event waits for it.
  const find = (wanted, after = 0) => events.slice(after).find((e) => Object.entries(wanted).every(([k, v]) => e[k] === String(v)));

  const event = (wanted, after = 0, ms = patience) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`Asterisk does not tell of ${JSON.stringify(wanted)}`)), ms);
    const look = () => {
      const found = find(wanted, after);
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
    find,
    event,
    act,
    count: () => events.length,

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
