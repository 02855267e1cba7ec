// A scene is one test with its own users and tabs, all in one browser and on
// one gateway. When it fails, it tells every SIP message that its tabs saw.

import { after, before, test } from 'node:test';
import { launch } from './browser.js';
import { Client } from './client.js';
import { servePages } from './pages.js';
import { startGateway } from './gateway.js';
import { wire } from './wire.js';

// A role is a tone to be known by; users have a number behind, one per scene,
// so that no scene sees another's registrations.
const roles = { alice: 500, bob: 900, carol: 1400, dave: 2100, erin: 2900, frank: 3700 };
const scenes = 200;
const password = 'secret';

// foreign says why a test that sets more than users is skipped on another gateway.
export const foreign = process.env.ADAPTER ? 'only ringway is set up for it' : false;

let browser;
let gateway;
let pages;
let count = 0;

export const world = () => ({ browser, gateway });

// users gives fresh ones for a test that is no scene.
export function users(...names) {
  count++;
  return names.map((role) => ({ name: `${role}${count}`, password }));
}

before(async () => {
  const users = {};
  for (let n = 1; n <= scenes; n++) {
    for (const role of Object.keys(roles)) users[`${role}${n}`] = password;
  }
  pages = await servePages('e2e/dist');
  gateway = await startGateway({ users });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  await pages?.stop();
});

class Scene {
  constructor(number) {
    this.number = number;
    this.clients = [];
    this.wires = [];
    this.pages = pages;
    this.gateway = gateway;
    this.browser = browser;
    this.opened = []; // what only this scene needs
  }

  // alone gives the scene a gateway of its own.
  async alone(options) {
    const users = Object.fromEntries(Object.keys(roles).map((role) => [this.name(role), password]));
    this.gateway = this.keep(await startGateway({ users, ...options }));
    return this.gateway;
  }

  // keep has a thing stopped or closed when the scene is over.
  keep(thing) {
    this.opened.push(thing);
    return thing;
  }

  name(role) {
    return `${role}${this.number}`;
  }

  // tab opens a phone and starts to register it; it does not wait.
  async tab(role, library, overrides = {}) {
    const context = await this.browser.newContext();
    const client = new Client(await context.newPage(), {
      library,
      ws: this.gateway.wsUrl,
      domain: this.gateway.domain,
      user: this.name(role),
      password,
      hz: roles[role],
      hue: roles[role] % 360,
      ...overrides,
    });
    this.clients.push(client);
    await client.start(this.pages.url);
    return client;
  }

  // open opens a phone and waits until it is registered.
  async open(role, library, overrides) {
    const client = await this.tab(role, library, overrides);
    await client.registered();
    return client;
  }

  // wired opens a phone on a network of its own, client.wire.
  async wired(role, library, overrides) {
    const own = await wire(this.gateway.wsUrl);
    this.wires.push(own);
    const client = await this.open(role, library, { ...overrides, ws: own.wsUrl });
    client.wire = own;
    return client;
  }

  // two opens alice and bob at once.
  two(a, b) {
    return Promise.all([this.open('alice', a), this.open('bob', b)]);
  }

  // connect brings a call of caller and callee up, and hears it both ways.
  async connect(caller, callee, options = {}) {
    const out = await caller.call(callee, options);
    const into = await callee.incoming();
    await callee.answer(options);
    await Promise.all([caller.state('up', out), callee.state('up', into)]);
    await Promise.all([caller.hears(callee, out), callee.hears(caller, into)]);
    return { out, into };
  }

  async report() {
    const parts = await Promise.all(this.clients.map((c) => c.ladder()));
    return [...parts, this.gateway.log?.() ?? ''].join('\n');
  }

  async close() {
    await Promise.all(this.clients.map((c) => c.close().catch(() => {})));
    await Promise.all(this.wires.map((w) => w.stop()));
    await Promise.all(this.opened.map((o) => o.stop?.() ?? o.close()));
  }
}

// within rejects when a promise takes longer, so that the report comes before
// the runner gives up.
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the scene took more than ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// scene declares a test; limit is ms that its body may take.
export function scene(name, body, { limit = 45_000, ...options } = {}) {
  test(name, { timeout: limit + 15_000, ...options }, async (t) => {
    const s = new Scene(++count);
    gateway.log?.(); // what it said before is another test's
    try {
      await within(limit, body(s, t));
    } catch (error) {
      for (const line of (await s.report()).split('\n')) t.diagnostic(line);
      throw error;
    } finally {
      await s.close();
    }
  });
}
