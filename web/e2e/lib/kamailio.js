// A real Kamailio that keeps the users, as shipped in configs/peers/kamailio but for addresses and
// users, and a gateway before it.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start as startGateway } from './ringway.js';

const binary = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'].map((dir) => join(dir, 'kamailio')).find(existsSync);
const shipped = fileURLToPath(new URL('../../../configs/peers/kamailio/kamailio.cfg', import.meta.url));
const patience = 15_000; // ms

// missing says why nothing here can be tested.
export const missing = binary ? false : 'SKIPPED: kamailio is not installed (apt install kamailio)';

let hosts = 0;

// startKamailio gives { gateway, restart, log, stop }. users is { name: password }; transport is the way to it; settings are
// more of the gateway's.
export async function startKamailio({ users, transport = 'tcp', settings = {} }) {
  const ip = `127.72.0.${++hosts}`;
  const port = await freePort(ip);
  const gateway = await startGateway({
    users: {},
    settings: {
      domain: undefined,
      domains: { 'example.test': { registrar: 'pbx' } },
      upstreams: { pbx: { hops: [`sip:${ip}:${port};transport=${transport}`], health: 'off' } },
      ...settings,
    },
  });
  const dir = await mkdtemp(join(tmpdir(), 'kamailio'));
  await writeFile(join(dir, 'kamailio.cfg'), await configuration(ip, port, users));
  let child;
  const end = async () => {
    child?.kill('SIGTERM');
    await child?.exited;
  };
  const stop = async () => {
    await gateway.stop();
    await end();
    await rm(dir, { recursive: true, force: true });
  };
  const run = async () => {
    child = spawn(binary, ['-DD', '-E', '-f', join(dir, 'kamailio.cfg'), '-w', dir, '-Y', dir, '-P', join(dir, 'pid'), '-m', '64', '-M', '16'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.exited = new Promise((resolve) => { child.on('exit', resolve); child.on('error', resolve); });
    await ready(child);
  };
  await run().catch((error) => stop().then(() => { throw error; }));
  return {
    gateway,
    stop,
    async restart() {
      await end();
      await run();
    },
  };
}

// configuration is the shipped one for these users at that address.
async function configuration(ip, port, users) {
  const text = await readFile(shipped, 'utf8');
  const edit = (from, to) => {
    if (!from.test(text)) throw new Error(`${from} is not in ${shipped}`);
    return [from, to];
  };
  const passwords = Object.entries(users).map(([name, password]) => `\t$sht(passwords=>${name}) = "${password}";\n`).join('');
  return [
    edit(/127\.0\.0\.1:5070/g, `${ip}:${port}`),
    edit(/alias="example\.com"/, 'alias="example.test"'),
    edit(/auto_aliases=no\n/, `auto_aliases=no\nlog_stderror=yes\nchildren=1\ntcp_children=2\ntcp_source_ipv4=${ip}\n`),
    edit(/loadmodule "pv\.so"/, 'loadmodule "pv.so"\nloadmodule "xlog.so"'),
    edit(/(\t\$sht\(passwords=>\w+\) = .*\n)+/, passwords),
  ].reduce((cfg, [from, to]) => cfg.replace(from, () => to), `${text}\nevent_route[core:worker-one-init] { xlog("L_ERR", "READY\\n"); }\n`);
}

function ready(child) {
  let said = '';
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`Kamailio is not ready:\n${said}`)), patience);
    child.exited.then(() => reject(new Error(`Kamailio has ended:\n${said}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (data) => {
        said = (said + data).slice(-8000);
        if (!said.includes('READY')) return;
        clearTimeout(late);
        resolve();
      });
    }
  });
}

function freePort(host) {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, host, () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
