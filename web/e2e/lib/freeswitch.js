// An installed FreeSWITCH with the configuration of testdata/freeswitch, and a gateway before it.
// FS_PREFIX names its folder: no package of Debian's has it.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start as startGateway } from './ringway.js';

const prefix = process.env.FS_PREFIX ?? '';
const binary = ['bin/freeswitch', 'sbin/freeswitch'].map((name) => join(prefix, name)).find(existsSync);
const templates = fileURLToPath(new URL('../../../testdata/freeswitch/', import.meta.url));
const domain = 'example.test';
const patience = 30_000; // ms
const startup = 120_000; // ms; two seconds where nothing else runs

export const tone = 1004; // Hz of what it plays
export const music = 650; // Hz of what it plays to who is on hold

// missing says why nothing can be tested. A folder without a FreeSWITCH is a mistake, and not passed over.
export const missing = prefix ? false : 'SKIPPED: FS_PREFIX names no folder with an installed FreeSWITCH: NOTHING HERE IS TESTED';

let hosts = 0;

// startPBX gives { mode, gateway, freeswitch, number, contact, stop }. With mode "trunk" the gateway keeps the users
// ({ name: password }), and one password lets it in; with "relay" FreeSWITCH keeps them and finds them by their Paths, with
// "alias" by contacts of the gateway's. settings are of the gateway, upstream is of its upstream; with spare there is a
// second FreeSWITCH, for when the first is away, with open calls need no password there; vars are for testdata/freeswitch.
export async function startPBX({ mode, users, settings = {}, upstream = {}, spare = false, open = false, vars = {} }) {
  if (!binary) throw new Error(`no bin/freeswitch in FS_PREFIX=${prefix}`);
  const own = Array.from({ length: spare ? 2 : 1 }, () => `127.73.0.${++hosts}`);
  const ports = await Promise.all(own.map((ip) => freePorts(ip, 3)));
  const relay = mode !== 'trunk';
  const gateway = await startGateway({
    users: relay ? {} : users,
    settings: {
      ...(relay && { domain: undefined, domains: { [domain]: { registrar: 'pbx' } } }),
      upstreams: {
        pbx: {
          hops: own.map((ip, i) => `sip:${ip}:${ports[i][open ? 1 : 0]};transport=tcp`),
          health: 'off',
          ...(relay && { contact: mode === 'alias' ? 'alias' : 'path' }),
          ...(!relay && !open && { login: { user: 'ringway', password: 'trunk-secret' } }),
          ...upstream,
        },
      },
      ...(!relay && { routes: [{ match: '^[0-9]|^(respond|cause)-', to: 'pbx' }] }),
      ...settings,
    },
  });
  const start = (ip, i) => startFreeSWITCH({ ip, ports: ports[i], gateway: gateway.sip, users: relay ? users : {}, mode, vars });
  const all = await Promise.all(own.map(start)).catch((error) => gateway.stop().then(() => { throw error; }));
  return {
    mode,
    gateway,
    freeswitch: all[0],
    spare: all[1],
    // number is how one dials a user by way of FreeSWITCH, contact how FreeSWITCH does.
    number: (user) => (relay ? user : `3${user}`),
    contact: (user) => (relay ? `user/${user}@${domain}` : `{media_webrtc=true}sofia/gateway/ringway/${user}`),
    stop: async () => {
      await gateway.stop();
      await Promise.all(all.map((f) => f.stop()));
    },
  };
}

async function startFreeSWITCH({ ip, ports: [port, open, events], gateway, users, mode, vars }) {
  const dir = await mkdtemp(join(tmpdir(), 'freeswitch'));
  const conf = join(dir, 'conf');
  await configure(conf, { users, mode }, {
    IP: ip, PORT: port, OPEN_PORT: open, ESL_PORT: events, RTP_FROM: 20000, RTP_TO: 29998, GW: `${gateway};transport=tcp`, PING: 5,
    PRESENCE: true, ...vars,
  });
  const args = ['-nf', '-nc', '-nonat', '-nonatmap', '-np', '-nocal', '-conf', conf];
  for (const what of ['log', 'db', 'run', 'certs', 'scripts', 'storage', 'recordings', 'cache', 'temp']) {
    await mkdir(join(dir, what));
    args.push(`-${what}`, join(dir, what));
  }
  let child;
  let exited;
  let said = ''; // before it has a log
  const freeswitch = { dir };
  // again starts it on the same files; crash ends it without a word to anybody, term asks it to stop, which takes
  // 10 s and more while calls are up, and forget has it know no registration when it starts again.
  freeswitch.again = async () => {
    child = spawn(binary, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-4000); });
    exited = new Promise((resolve) => { child.on('exit', resolve); child.on('error', resolve); });
    Object.assign(freeswitch, await control(ip, events, exited));
  };
  freeswitch.crash = () => {
    child.kill('SIGKILL');
    return exited;
  };
  freeswitch.term = () => {
    child.kill('SIGTERM');
    return exited;
  };
  freeswitch.log = () => readFile(join(dir, 'log/freeswitch.log'), 'utf8').catch(() => '');
  freeswitch.forget = () => rm(join(dir, 'db'), { recursive: true }).then(() => mkdir(join(dir, 'db')));
  freeswitch.stop = async () => {
    await freeswitch.crash();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await freeswitch.again();
    return freeswitch;
  } catch (error) {
    const log = await freeswitch.log();
    await freeswitch.stop();
    throw new Error(`FreeSWITCH does not start: ${error.message}\n${said}\n${log.slice(-4000)}`);
  }
}

// configure copies the tests' configuration, for this domain and these users.
async function configure(conf, { users, mode }, vars) {
  await cp(templates, conf, { recursive: true });
  for (const name of await readdir(conf)) {
    const text = await readFile(join(conf, name), 'utf8');
    await writeFile(join(conf, name), text.replaceAll('pbx.example', domain));
  }
  const set = Object.entries(vars).map(([key, value]) => `<X-PRE-PROCESS cmd="set" data="${key}=${value}"/>\n`).join('');
  await writeFile(join(conf, 'vars.xml'), `<include>\n${set}</include>\n`);
  // an include stands alone on its line
  const user = ([name, password]) => `<user id="${name}"><params><param name="password" value="${password}"/></params></user>\n`;
  // a Path leads to the browser's own contact, whose transport=ws says what it wants; a contact of ours does not
  const media = mode === 'alias' ? 'media_webrtc=true,' : '';
  await writeFile(join(conf, 'directory.xml'), `<include>
<domain name="${domain}"><params>
<param name="dial-string" value="{${media}presence_id=\${dialed_user}@\${dialed_domain}}\${sofia_contact(users/\${dialed_user}@\${dialed_domain})}"/>
</params><groups><group name="all"><users>
${Object.entries({ ...users, ringway: 'trunk-secret' }).map(user).join('')}</users></group></groups></domain>
</include>\n`);
}

// control speaks to FreeSWITCH's event socket, and waits until it takes calls.
async function control(ip, port, exited) {
  let gone = false;
  exited.then(() => { gone = true; });
  const ask = await eventSocket(ip, port, () => gone);
  await ask('auth tests');
  const api = (command) => ask(`api ${command}`);

  // until asks again and again: most of what it does it tells nobody.
  const until = async (what, test) => {
    for (const deadline = Date.now() + patience; ;) {
      const found = await test();
      if (found) return found;
      if (gone || Date.now() > deadline) throw new Error(gone ? 'FreeSWITCH has ended' : `FreeSWITCH does not tell of ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await until('its profiles', async () => (await api('sofia status')).split('RUNNING').length === 3 && (await api('status')).includes('is ready'));
  let count = 0;
  return {
    api,
    until,

    // begun is FreeSWITCH's side of a call that a user began.
    async begun(user) {
      const { rows } = JSON.parse(await api('show channels as json'));
      return rows.find((row) => row.direction === 'inbound' && row.name.includes(`/${user}@`)).uuid;
    },

    // calls has FreeSWITCH call, wherever the callee is registered, and the one who answers gets what the number gives.
    async calls(contact, number) {
      const call = String(200 + ++count);
      await ask(`bgapi originate {test_call=${call},origination_caller_id_number=${call}}${contact} ${number} XML default`);
      return call;
    },

    hangup: (call) => api(`hupall NORMAL_CLEARING test_call ${call}`),

    // tells is an event that another of its modules would send.
    tells: (name, keys) => ask(`sendevent ${name}\n${Object.entries(keys).map(([key, value]) => `${key}: ${value}`).join('\n')}`),
  };
}

// eventSocket gives ask: one command at a time, and its answer.
async function eventSocket(ip, port, gone) {
  const socket = await connected(ip, port, gone);
  let rest = '';
  let answered;
  let last = new Promise((resolve) => { answered = resolve; }); // for auth/request
  socket.setEncoding('latin1').on('error', () => {}).on('data', (text) => {
    rest += text;
    for (let end; (end = rest.indexOf('\n\n')) >= 0;) {
      const head = rest.slice(0, end);
      const length = Number(/^Content-Length: (\d+)/m.exec(head)?.[1] ?? 0);
      if (rest.length < end + 2 + length) return;
      const body = rest.slice(end + 2, end + 2 + length);
      rest = rest.slice(end + 2 + length);
      answered((/^Reply-Text: (.*)/m.exec(head)?.[1] ?? '') + body);
    }
  }).on('close', () => answered(''));
  return (command) => {
    last = last.then(() => new Promise((resolve) => {
      answered = resolve;
      if (socket.destroyed) resolve('');
      else socket.write(`${command}\n\n`);
    }));
    return last;
  };
}

// connected polls, as there is nothing to wait on but the port itself.
async function connected(host, port, gone) {
  for (const deadline = Date.now() + startup; ;) {
    const socket = await new Promise((resolve) => {
      const s = connect(port, host, () => resolve(s)).on('error', () => resolve(null));
    });
    if (socket) return socket;
    if (gone() || Date.now() > deadline) throw new Error(gone() ? 'it has ended' : 'its event socket does not answer');
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
