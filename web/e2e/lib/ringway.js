// Starts bin/ringway (or RINGWAY_BIN) on free ports of loopback with the users
// of a test.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const domain = 'example.test';
const binary = process.env.RINGWAY_BIN ?? fileURLToPath(new URL('../../../bin/ringway', import.meta.url));
const startup = 10_000; // ms until it has to be ready

// start gives { wsUrl, wssUrl, ipv6Url, sip, domain, stop, log, end, again }. users is
// { name: password }; settings are keys of YAML, in place of what is here or
// beside it; certificate is { cert, key }, files, for wssUrl, and ipv6 true for ipv6Url.
// sip is where servers behind it reach it, by UDP and TCP.
export async function start({ users, settings = {}, certificate, ipv6 = false }) {
  if (!existsSync(binary)) throw new Error(`${binary} is missing: make build, or set RINGWAY_BIN`);
  const dir = await mkdtemp(join(tmpdir(), 'ringway-e2e-'));
  const [port, admin, secure, servers] = await freePorts(4);
  const sip = `127.0.0.1:${servers}`;
  const wsUrl = `ws://127.0.0.1:${port}/ws`;
  const wssUrl = certificate && `wss://127.0.0.1:${secure}/ws`;
  const ipv6Url = ipv6 ? `ws://[::1]:${port}/ws` : undefined;
  await writeFile(join(dir, 'users'), usersFile(users), { mode: 0o600 });
  await writeFile(join(dir, 'ringway.yaml'), yaml({
    domain,
    listen: [wsUrl, wssUrl, ipv6Url, `udp://${sip}`, `tcp://${sip}`].filter(Boolean),
    users_file: 'users',
    state_dir: dir,
    tls: certificate,
    origins: ['*'],
    admin: `127.0.0.1:${admin}`,
    dead_peer_bye: '4s',
    reconnect_grace: '30s', // longer than a test waits: what ends sooner was not left to it
    ...settings,
  }));
  let child;
  const again = async () => {
    child = run(['run', join(dir, 'ringway.yaml')]);
    await ready(`http://127.0.0.1:${admin}/readyz`, child);
  };
  await again().catch((error) => stop(child, dir).then(() => { throw error; }));
  return {
    wsUrl,
    wssUrl,
    ipv6Url,
    sip,
    domain,
    log: () => child.lines.splice(0).join('\n'),
    stop: () => stop(child, dir),

    // end asks the gateway to stop and gives its exit code when it has; again
    // starts it on the same files, keys and ports.
    end() {
      child.kill('SIGTERM');
      return child.exited;
    },
    again,
  };
}

// yaml writes keys and values: JSON is YAML.
const yaml = (keys) => Object.entries(keys).filter(([, value]) => value !== undefined)
  .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`).join('');

// startDemo runs `ringway demo` and gives { url, stop } of the page that it prints.
export async function startDemo() {
  const child = run(['demo']);
  const url = await new Promise((resolve, reject) => {
    const look = () => {
      const found = /http:\/\/\S+/.exec(child.lines.join('\n'));
      if (found) resolve(found[0]);
    };
    child.stdout.on('data', look);
    child.exited.then(() => reject(new Error(`ringway demo ended:\n${child.lines.join('\n')}`)));
  });
  return { url, stop: () => stop(child) };
}

// usersFile is in htdigest's form, name:realm:HA1, a line with MD5 and one with
// SHA-256 each: the libraries meet both challenges, as they do in the field.
function usersFile(users) {
  const hash = (algorithm, s) => createHash(algorithm).update(s).digest('hex');
  return Object.entries(users).flatMap(([name, password]) => ['md5', 'sha256'].map((algorithm) =>
    `${name}:${domain}:${hash(algorithm, `${name}:${domain}:${password}`)}\n`)).join('');
}

// run keeps what the gateway says, for the report of a failed test.
function run(args) {
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.lines = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      child.lines.push(text.trimEnd());
      if (child.lines.length > 2000) child.lines.splice(0, 1000);
    });
  }
  child.exited = new Promise((resolve) => {
    child.on('exit', resolve);
    child.on('error', (error) => {
      child.lines.push(error.message);
      resolve(-1);
    });
  });
  return child;
}

// ready polls, as there is nothing to wait on but the port itself.
async function ready(url, child) {
  const deadline = Date.now() + startup;
  let gone = false;
  child.exited.then(() => { gone = true; });
  for (;;) {
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok) return;
    if (gone || Date.now() > deadline) {
      throw new Error(`ringway is not ready:\n${child.lines.join('\n')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function stop(child, dir) {
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), 5000);
  await child.exited;
  clearTimeout(hard);
  if (dir) await rm(dir, { recursive: true, force: true });
}

// freePorts holds all of them open until the last is known.
export async function freePorts(n) {
  const servers = await Promise.all(Array.from({ length: n }, () => new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((s) => s.address().port);
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
  return ports;
}
