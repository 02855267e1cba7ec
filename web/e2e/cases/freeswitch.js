// Browsers and a real FreeSWITCH, with what is heard on both sides. In mode "trunk" the gateway keeps the users and FreeSWITCH
// is behind it; in "relay" FreeSWITCH keeps them and finds them by their Paths, in "alias" by contacts of the gateway's.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { music, startPBX, tone } from '../lib/freeswitch.js';
import { foreign, scene } from '../lib/scene.js';

const it = { hz: tone }; // FreeSWITCH, as it is heard
const held = { hz: music };
const mixed = [['jssip', 'sipjs'], ['sipjs', 'jssip']];
const modes = ['trunk', 'relay', 'alias'].filter((mode) => process.env.MODES?.split(',').includes(mode) ?? true);
const roles = ['alice', 'bob', 'carol'];
const numbers = 200; // as many scenes have users

// causes of Q.850 and statuses, what FreeSWITCH makes of them, and what JsSIP calls that
const causes = [
  ['cause-UNALLOCATED_NUMBER', 404, 'Not Found', 'Not Found', 1],
  ['cause-USER_BUSY', 486, 'Busy Here', 'Busy', 17],
  ['cause-NO_ANSWER', 480, 'Temporarily Unavailable', 'Unavailable', 19],
  ['cause-CALL_REJECTED', 603, 'Decline', 'Rejected', 21],
  ['cause-NUMBER_CHANGED', 410, 'Gone', 'Unavailable', 22],
  ['respond-486', 486, 'Busy Here', 'Busy'],
  ['999', 404, 'Not Found', 'Not Found'],
  ['6080', 302, 'Moved Temporarily', 'Redirected'],
];

const users = Object.fromEntries(roles.flatMap((role) => Array.from({ length: numbers }, (_, n) => [`${role}${n + 1}`, 'secret'])));
const running = new Map(); // mode → one for all its scenes

before(async () => {
  for (const mode of modes) running.set(mode, await startPBX({ mode, users }));
});

after(() => Promise.all([...running.values()].map((one) => one.stop())));

// behind is a scene whose gateway has a FreeSWITCH behind it, which it shares with others unless it needs its own.
function behind(mode, name, body, { own, ...options } = {}) {
  scene(`FreeSWITCH, ${mode}: ${name}`, async (s) => {
    s.pbx = own ? s.keep(await startPBX({ mode, users, ...own })) : running.get(mode);
    s.gateway = s.pbx.gateway;
    await body(s, s.pbx.freeswitch);
  }, { skip: foreign, ...options });
}

// up calls a number and waits until it is up.
async function up(client, number) {
  const id = await client.call(number);
  await client.state('up', id);
  return id;
}

// through calls another browser by way of FreeSWITCH, until they hear each other.
async function through(s, caller, callee) {
  const out = await caller.call(s.pbx.number(callee.user));
  const into = await callee.incoming();
  await callee.answer();
  await Promise.all([caller.state('up', out), callee.state('up', into)]);
  await Promise.all([caller.hears(callee, out), callee.hears(caller, into)]);
  return { out, into };
}

// rung has FreeSWITCH call a browser, with what a number gives, until it rings there.
async function rung(s, client, number) {
  const call = await s.pbx.freeswitch.calls(s.pbx.contact(client.user), number);
  return { call, into: await client.incoming() };
}

// over hangs up, and wants FreeSWITCH to have known of the call.
async function over(client, id) {
  await client.hangup(id);
  assert.match(await client.toldBye(), /^SIP\/2\.0 200/);
}

for (const mode of modes) {
  for (const [a, b] of mode === 'alias' ? mixed.slice(1) : mixed) {
    behind(mode, `${a} hears itself, holds, and hangs up`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '9196');
      await alice.hears(alice);
      await alice.act('hold');
      await alice.deaf(alice);
      await alice.act('unhold');
      await alice.hears(alice);
      await over(alice);
      assert.deepEqual(await alice.messages('<', 'SIP/2.0 422'), []); // its least session is longer than JsSIP's
    });

    behind(mode, `it calls ${a}, which hears a tone until FreeSWITCH hangs up`, async (s, freeswitch) => {
      const alice = await s.open('alice', a);
      const { call } = await rung(s, alice, '9197');
      await alice.answer();
      await alice.state('up');
      await alice.hears(it);
      await freeswitch.hangup(call);
      const { end } = await alice.state('ended');
      assert.equal(end.by, 'remote');
      assert.match(end.reason, /^Q\.850;cause=16/);
    });

    behind(mode, `${a} holds ${b}, which hears music, and takes it back`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      await through(s, alice, bob);
      await alice.act('hold');
      await bob.hears(held);
      await alice.act('unhold');
      await Promise.all([bob.hears(alice), alice.hears(bob)]);
    });

    behind(mode, `${a} sends ${b} on to a tone: blind REFER`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      const { out } = await through(s, alice, bob);
      await alice.act('refer', { id: out, args: ['9197'] });
      await bob.hears(it);
      await alice.when((host, id) => host.last(id).transfer === 200 || host.last(id).state === 'ended', out);
    });

    behind(mode, `${a} connects its two calls, with ${b} and ${a}: attended REFER`, async (s) => {
      const [alice, bob, carol] = await Promise.all([s.open('alice', a), s.open('bob', b), s.open('carol', a)]);
      const first = await through(s, alice, bob);
      await alice.act('hold', { id: first.out });
      const second = await through(s, alice, carol);
      await alice.page.evaluate(
        ([call, other]) => { window.host.act('referAttended', call, window.host.last(other)); },
        [first.out, second.out],
      );
      await Promise.all([bob.hears(carol), carol.hears(bob)]);
      await alice.state('ended', second.out);
    });

    behind(mode, `it sends ${a} on: uuid_transfer within, and REFER`, async (s, freeswitch) => {
      const alice = await s.open('alice', a);
      await up(alice, '9196');
      await alice.hears(alice);
      await freeswitch.api(`uuid_transfer ${await freeswitch.begun(alice.user)} 9197`);
      await alice.hears(it);
      await over(alice);
      const first = await up(alice, '608'); // to echo, by REFER
      await alice.when((host, id) => host.calls.find((c) => c.id > id)?.state === 'up', first);
      await alice.hears(alice);
      assert.equal((await alice.state('ended', first)).end.by, 'remote');
    });

    behind(mode, `it tells the phone of ${a} to hold and to talk: NOTIFY of a phone event`, async (s, freeswitch) => {
      const alice = await s.open('alice', a);
      await up(alice, '9196');
      await alice.hears(alice);
      const uuid = await freeswitch.begun(alice.user);
      for (const [n, event] of ['hold', 'talk'].entries()) {
        await freeswitch.api(`uuid_phone_event ${uuid} ${event}`);
        await alice.saw('<', 'NOTIFY', n + 1);
      }
      await alice.hears(alice);
      await over(alice);
    });

    behind(mode, `${a} sends digits in INFO, and gets them back, and as media (RFC 4733)`, async (s) => {
      const alice = await s.open('alice', a);
      const first = await up(alice, '614');
      for (const [n, digit] of ['4', '2', '7'].entries()) {
        await alice.act('dtmf', { args: [digit] });
        await alice.when((host, n) => host.messages().filter((m) => m.dir === '<' && /^SIP\/2\.0 200/.test(m.text)
          && /\r\nCSeq: *\d+ INFO/i.test(m.text)).length > n, n);
      }
      await alice.when((host) => host.last().dtmf.join('') === '427');
      await over(alice, first);
      for (const how of ['dtmf', 'tones']) { // here FreeSWITCH has not said that it wants INFO
        const id = await up(alice, '615');
        await alice.when((host, id) => host.last(id).pc.connectionState === 'connected', id);
        for (const args of how === 'tones' ? [['831']] : [['8'], ['3'], ['1']]) await alice.act(how, { id, args });
        await alice.hears(it, id);
        await over(alice, id);
      }
    });

    behind(mode, `${a}, ${b} and ${a} meet in a conference`, async (s) => {
      const all = await Promise.all([s.open('alice', a), s.open('bob', b), s.open('carol', a)]);
      await Promise.all(all.map((client) => up(client, '3000')));
      await Promise.all(all.flatMap((client) => all.filter((other) => other !== client).map((other) => client.hears(other))));
      await all[0].hangup();
      await Promise.all([all[1].deaf(all[0]), all[1].hears(all[2])]);
    });

    behind(mode, `${a} is told why there is no call: ${causes.map(([, status]) => status).join(', ')}`, async (s) => {
      const alice = await s.open('alice', a);
      for (const [number, status, phrase, word, cause] of causes) {
        const id = await alice.call(number);
        const { end } = await alice.state('ended', id);
        assert.deepEqual([end.status, end.by, end.cause], [status, 'remote', a === 'jssip' ? word : phrase], number);
        const answer = (await alice.messages('<', `SIP/2.0 ${status} ${phrase}\r\n`)).at(-1);
        if (cause) assert.match(answer, new RegExp(`\\r\\nReason: Q.850;cause=${cause}\\b`));
      }
    });

    behind(mode, `${a} hears early media, then itself`, async (s) => {
      const alice = await s.open('alice', a);
      const id = await alice.call('612', { early: true });
      await alice.hears(it, id);
      assert.deepEqual((await alice.state('up', id)).provisional.includes(183), true);
      await alice.hears(alice, id);
    });

    behind(mode, `${a} loses its WebSocket in a call, and holds and hangs up on the new one`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '9196');
      await alice.cut();
      await alice.registered();
      await alice.hears(alice);
      await alice.act('hold');
      await alice.act('unhold');
      await alice.hears(alice);
      await over(alice);
    });

    behind(mode, `${a} loses its WebSocket in a call, and FreeSWITCH hangs up${mode === 'relay' ? '' : '; the next call rings once'}`, async (s, freeswitch) => {
      const alice = await s.open('alice', a);
      const { call } = await rung(s, alice, '9197');
      await alice.answer();
      await alice.hears(it);
      await alice.cut();
      await freeswitch.hangup(call);
      assert.equal((await alice.state('ended')).end.by, 'remote');
      await alice.registered();
      if (mode === 'relay') return; // FreeSWITCH keeps a contact for each Path, and rings both: hence alias in configs/freeswitch.yaml
      const rang = (await alice.messages('<', 'INVITE')).length;
      const next = await rung(s, alice, '9197');
      await alice.answer();
      await alice.hears(it, next.into);
      assert.equal((await alice.messages('<', 'INVITE')).length, rang + 1);
      await over(alice, next.into);
    });

    lamps(mode, a, b);
    away(mode, a, b);
  }
}

// watches subscribes; shows waits for the newest state.
const watches = (client, whose, [event, accept]) =>
  client.page.evaluate(([...args]) => window.host.phone.watch(...args), [whose, event, accept]);

const shows = (client, whose, state) =>
  client.when((host, { whose, state }) => host.lamps[whose]?.at(-1) === state, { whose, state });

function lamps(mode, a, b) {
  behind(mode, `${a} sees that a message waits, until it is heard`, async (s, freeswitch) => {
    const alice = await s.open('alice', a);
    const box = mode === 'trunk' ? '150' : alice.user;
    const waits = (is) => freeswitch.tells('MESSAGE_WAITING', {
      'MWI-Messages-Waiting': is, 'MWI-Message-Account': `sip:${box}@example.test`, 'MWI-Voice-Message': is === 'yes' ? '1/0 (0/0)' : '0/1 (0/0)',
    });
    const watching = watches(alice, box, ['message-summary', 'application/simple-message-summary']);
    await alice.saw('<', 'SIP/2.0 202');
    await waits('no'); // there is no mod_voicemail, and so no first NOTIFY, without which SIP.js gives up
    await watching;
    await shows(alice, box, 'no');
    await waits('yes');
    await shows(alice, box, 'yes');
    await alice.cut(); // what it watches outlives the connection
    await alice.registered();
    await waits('no');
    await shows(alice, box, 'no');
  });

  if (mode === 'trunk') return; // whose users have no state at FreeSWITCH

  behind(mode, `${a} sees the lamp of ${b}: free, ringing, busy, free`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await watches(alice, bob.user, ['dialog', 'application/dialog-info+xml']);
    const { into } = await rung(s, bob, '9197');
    await shows(alice, bob.user, 'early');
    await bob.answer();
    await shows(alice, bob.user, 'confirmed');
    await bob.hangup(into);
    await shows(alice, bob.user, 'terminated');
  });
}

// FreeSWITCH is away for a while.
function away(mode, a, b) {
  behind(mode, `it is killed and starts anew: ${a} and ${b} are reached at once`, async (s, freeswitch) => {
    const [alice, bob] = await s.two(a, b);
    const cut = await up(alice, '9196');
    await alice.hears(alice);
    await freeswitch.crash();
    const none = await bob.call('9196');
    const { end } = await bob.state('ended', none);
    assert.deepEqual([end.by, end.status], ['remote', 503]);
    await freeswitch.again();
    await alice.hangup(cut);
    assert.match(await alice.toldBye(), /^SIP\/2\.0 481/);
    for (const client of [alice, bob]) {
      const { into } = await rung(s, client, '9197');
      await client.answer();
      await client.hears(it, into);
      await client.hangup(into);
    }
    await through(s, alice, bob);
  }, { own: {}, limit: 120_000 });

  // While it stops it answers 410 to all that is new, which would say that the callee, or the user, is gone for good.
  behind(mode, `it stops while ${a} is in a call: what is new hears 503`, async (s, freeswitch) => {
    const [alice, bob] = await s.two(a, b);
    await up(alice, '9196');
    await alice.hears(alice);
    const gone = freeswitch.term();
    const { end } = await bob.state('ended', await bob.call('9196'));
    assert.deepEqual([end.by, end.status], ['remote', 503]);
    if (mode !== 'trunk') {
      const carol = await s.tab('carol', b);
      assert.equal(await carol.when((host) => host.status.refused?.status), 503);
    }
    assert.equal((await alice.state('ended', null, 30_000)).end.by, 'remote');
    await gone;
  }, { own: {}, limit: 120_000 });

  behind(mode, `it stops, and another takes ${a} and the calls of ${b}`, async (s, freeswitch) => {
    const [alice, bob] = await s.two(a, b);
    await up(alice, '9196');
    await alice.hears(alice);
    const gone = freeswitch.term();
    await bob.cut();
    await bob.registered();
    const call = await up(bob, '9196');
    await bob.hears(bob, call);
    assert.equal((await alice.state('ended', null, 30_000)).end.by, 'remote');
    await gone;
    await alice.cut();
    await alice.registered();
    s.pbx.freeswitch = s.pbx.spare;
    const { into } = await rung(s, alice, '9197');
    await alice.answer();
    await alice.hears(it, into);
    await over(alice, into);
  }, { own: { spare: true }, limit: 150_000 });

  if (mode === 'trunk') return trusted(a);

  behind(mode, `a tab of ${a} is gone without a word: what it had registered does not ring along`, async (s, freeswitch) => {
    const first = await s.open('alice', a);
    await first.page.close();
    const again = await s.open('alice', a);
    const { into, call } = await rung(s, again, '9197');
    await again.answer();
    await again.hears(it, into);
    await freeswitch.hangup(call);
    assert.equal((await again.state('ended', into)).end.by, 'remote');
    assert.equal((await again.messages('<', 'INVITE')).length, 1);
  });

  if (mode === 'alias' || a !== 'jssip') return;

  // JsSIP registers again 5 s before it has to, SIP.js is told to do so at half of the time.
  behind(mode, 'it starts anew without its memory: both libraries are reachable after a refresh', async (s, freeswitch) => {
    const half = { refreshFrequency: 50 };
    const [alice, bob] = await Promise.all([s.open('alice', 'jssip', half), s.open('bob', 'sipjs', half)]);
    await freeswitch.crash();
    await freeswitch.forget();
    await freeswitch.again();
    for (const client of [alice, bob]) {
      const known = async () => (await freeswitch.api('sofia status profile users reg')).includes(`${client.user}@`);
      await freeswitch.until(client.user, known);
    }
    await through(s, alice, bob);
  }, { own: { settings: { relay_expires: '30s' } }, limit: 150_000 });
}

// Where callers need no password, the credentials that a browser gave the gateway would draw 407.
function trusted(a) {
  behind('trunk', `${a} calls a profile that asks nobody for a password`, async (s) => {
    const alice = await s.open('alice', a);
    for (const _ of [1, 2]) {
      const call = await up(alice, '9196');
      await alice.hears(alice, call);
      await over(alice, call);
    }
  }, { own: { open: true }, limit: 90_000 });
}
