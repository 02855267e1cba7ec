// Scenes with a real Asterisk behind the gateway.

import { after } from 'node:test';
import { bleep, missing, music, startPBX, tone } from './asterisk.js';
import { foreign, scene } from './scene.js';

export const it = { hz: tone }; // Asterisk, as it is heard
export const held = { hz: music };
export const beep = { hz: bleep };
export const mixed = [['jssip', 'sipjs'], ['sipjs', 'jssip']];

const only = process.env.MODES?.split(',');
const roles = ['alice', 'bob', 'carol', 'dave'];
const numbers = 200; // as many scenes have users

// pbx is a kind of Asterisk: who keeps the users, and whose packages they are; more is for startPBX.
export const pbx = (mode, suite = 'sid', more = {}) => ({ mode, suite, name: suite === 'sid' ? mode : `${mode} on ${suite}`, more });

// wanted are those that are to be tried now.
export const wanted = (...pbxs) => pbxs.filter(({ mode }) => only?.includes(mode) ?? true);

// main are what everything is tried with.
export const main = wanted(pbx('trunk', process.env.ASTERISK || 'sid'), pbx('relay', process.env.ASTERISK || 'sid'));

// others are for what may differ there: contacts that are ours, and the oldest Asterisk.
export const others = process.env.ASTERISK ? [] : wanted(pbx('alias'), pbx('trunk', 'bullseye'), pbx('relay', 'bullseye'));

const running = new Map(); // kind → one for all its scenes

after(() => Promise.all([...running.values()].map((p) => p.then((one) => one.stop(), () => {}))));

// behind is a scene whose gateway has an Asterisk of that kind behind it, which it shares with others.
export function behind(kind, name, body, options = {}) {
  scene(`Asterisk, ${kind.name}: ${name}`, async (s) => {
    if (!running.has(kind)) running.set(kind, startPBX({ mode: kind.mode, suite: kind.suite, users: users(), user: withMailbox, ...kind.more }));
    s.pbx = await running.get(kind);
    s.gateway = s.pbx.gateway;
    await body(s);
  }, { limit: 75_000, skip: foreign || missing(kind.suite), ...options }); // the first one starts it, too
}

const users = () => Object.fromEntries(roles.flatMap((role) => Array.from({ length: numbers }, (_, n) => [`${role}${n + 1}`, 'secret'])));

// withMailbox has Asterisk tell dave of his messages unasked.
const withMailbox = (user) => (user.startsWith('dave') ? { endpoint: `mailboxes = ${user}@default\n` } : {});

// through calls another browser by way of Asterisk, until they hear each other.
export async function through(s, caller, callee) {
  const out = await caller.call(s.pbx.number(callee.user));
  const into = await callee.incoming();
  await callee.answer();
  await Promise.all([caller.state('up', out), callee.state('up', into)]);
  await Promise.all([caller.hears(callee, out), callee.hears(caller, into)]);
  return { out, into };
}

// up calls a number and waits until it is up.
export async function up(client, number) {
  const id = await client.call(number);
  await client.state('up', id);
  return id;
}

// rung has Asterisk call a browser, with what a number gives, until it rings there.
export async function rung(s, client, number) {
  const channel = await s.pbx.asterisk.calls(s.pbx.contact(client.user), number);
  return { channel, into: await client.incoming() };
}
