// Lamps: messages that wait (RFC 3842), and who is on the telephone (RFC 4235).

import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beep, behind, main, mixed, others, rung, up } from '../lib/behind.js';

const mailbox = ['message-summary', 'application/simple-message-summary'];
const lamp = ['dialog', 'application/dialog-info+xml'];
const presence = ['presence', 'application/pidf+xml'];

// watches subscribes; its shows waits for the newest state.
async function watches(client, whose, [event, accept]) {
  await client.page.evaluate(([...args]) => window.host.phone.watch(...args), [whose, event, accept]);
  return (state) => shows(client, whose, state);
}

const shows = (client, whose, state) =>
  client.when((host, { whose, state }) => host.lamps[whose]?.at(-1) === state, { whose, state });

// unwatches ends it, and waits for the end, of which Asterisk 16 does not tell.
async function unwatches(kind, client) {
  const told = (dir, first, header) => client.when((host, { dir, first, header }) =>
    host.messages().find((m) => m.dir === dir && m.text.startsWith(first) && m.text.includes(header))?.text, { dir, first, header });
  await client.page.evaluate(() => window.host.phone.unwatch());
  const [, number] = /CSeq: *(\d+)/i.exec(await told('>', 'SUBSCRIBE', 'Expires: 0\r\n'));
  await told('<', 'SIP/2.0 200', `CSeq: ${number} SUBSCRIBE`);
  if (kind.suite === 'sid') await told('<', 'NOTIFY', 'Subscription-State: terminated');
}

// folder is where Asterisk keeps what waits in a mailbox, or what was heard.
const folder = (s, box, name) => join(s.pbx.asterisk.dir, 'voicemail/default', box, name);

// listens is what remains when somebody has heard his messages.
async function listens(s, box) {
  await mkdir(folder(s, box, 'Old'), { recursive: true });
  for (const name of await readdir(folder(s, box, 'INBOX'))) await rename(join(folder(s, box, 'INBOX'), name), join(folder(s, box, 'Old'), name));
}

// leaves puts a message there, as what Asterisk looks for every second.
async function leaves(s, box) {
  await mkdir(folder(s, box, 'INBOX'), { recursive: true });
  await writeFile(join(folder(s, box, 'INBOX'), 'msg0000.txt'), '[message]\norigtime=1\nduration=1\n');
}

for (const mode of [...main, ...others]) {
  for (const [a, b] of main.includes(mode) ? mixed : mixed.slice(1)) {
    behind(mode, `${a} sees that a message waits, that ${b} has left, until it is heard`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      const waits = await watches(alice, '150', mailbox);
      await waits('no');
      const call = await up(bob, '114');
      await bob.hears(beep);
      await bob.deaf(beep); // what he says now is taken down
      await bob.hangup(call);
      await waits('yes');
      await alice.cut(); // what it watches outlives the connection
      await alice.registered();
      await listens(s, '150');
      await waits('no');
      await unwatches(mode, alice);
    });

    behind(mode, `${a} and ${b} see a lamp: free, ringing, busy, free`, async (s) => {
      const [alice, carol] = await Promise.all([s.open('alice', a), s.open('carol', b)]);
      const bob = mode.mode === 'trunk' ? null : await s.open('bob', b);
      const whose = bob?.user ?? '130'; // a trunk's users have no state at Asterisk
      const light = (state) => s.pbx.asterisk.act('SetVar', { Variable: 'DEVICE_STATE(Custom:lamp)', Value: state });
      if (!bob) await light('NOT_INUSE');
      const [mine, theirs] = await Promise.all([watches(alice, whose, lamp), watches(carol, whose, presence)]);
      const both = (state, note) => Promise.all([mine(state), theirs(note)]);
      await both('terminated', 'Ready');
      const into = bob ? (await rung(s, bob, '100')).into : await light('RINGING') && null;
      await both('early', 'Ringing');
      await (bob ? bob.answer() : light('INUSE'));
      await both('confirmed', 'On the phone');
      await (bob ? bob.hangup(into) : light('NOT_INUSE'));
      await both('terminated', 'Ready');
      await Promise.all([unwatches(mode, alice), unwatches(mode, carol)]);
    });

    if (mode.mode === 'trunk') continue; // whose users have no mailbox of their own at Asterisk

    behind(mode, `${a} is told unasked that a message waits`, async (s) => {
      const dave = await s.open('dave', a);
      await shows(dave, 'unasked', 'no');
      await leaves(s, dave.user);
      await shows(dave, 'unasked', 'yes');
      await listens(s, dave.user);
      await shows(dave, 'unasked', 'no');
    });
  }
}
