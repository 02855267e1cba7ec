// Browsers and a real Asterisk, with what is heard on both sides. In mode "trunk" the
// gateway keeps the users and Asterisk is behind it; in mode "relay" Asterisk keeps them.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { missing, music, startPBX, tone } from '../lib/asterisk.js';
import { foreign, scene } from '../lib/scene.js';

const modes = process.env.MODES?.split(',') ?? ['trunk', 'relay'];
const pbxs = new Map(); // mode → one for all its scenes

after(() => Promise.all([...pbxs.values()].map((p) => p.then((pbx) => pbx.stop(), () => {}))));

// behind is a scene whose gateway has an Asterisk behind it.
function behind(mode, name, body) {
  scene(`Asterisk, ${mode}: ${name}`, async (s) => {
    if (!pbxs.has(mode)) {
      const users = {};
      for (let n = s.number; n < s.number + 60; n++) for (const role of ['alice', 'bob', 'carol']) users[`${role}${n}`] = 'secret';
      pbxs.set(mode, startPBX(mode, users));
    }
    s.pbx = await pbxs.get(mode);
    s.gateway = s.pbx.gateway;
    await body(s);
  }, { skip: foreign || missing });
}

// through calls another browser by way of Asterisk, until they hear each other.
async function through(s, caller, callee) {
  const out = await caller.call(s.pbx.number(callee.user));
  const into = await callee.incoming();
  await callee.answer();
  await Promise.all([caller.state('up', out), callee.state('up', into)]);
  await Promise.all([caller.hears(callee, out), callee.hears(caller, into)]);
  return { out, into };
}

// calls a number and waits until it is up.
async function up(client, number) {
  const id = await client.call(number);
  await client.state('up', id);
  return id;
}

const it = { hz: tone };

for (const mode of modes) {
  for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
    behind(mode, `${a} hears itself, and hangs up`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '100');
      await alice.hears(alice);
      await alice.hangup();
      assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
    });

    behind(mode, `it calls ${a}, which hears a tone until Asterisk hangs up`, async (s) => {
      const alice = await s.open('alice', a);
      const channel = await s.pbx.asterisk.calls(s.pbx.contact(alice.user), '101');
      await alice.incoming();
      await alice.answer();
      await alice.state('up');
      await alice.hears(it);
      await s.pbx.asterisk.hangup(channel);
      assert.equal((await alice.state('ended')).end.by, 'remote');
    });

    behind(mode, `${a} sends digits, and gets them back`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '107');
      for (const digit of ['4', '2', '7']) {
        await alice.act('dtmf', { args: [digit] });
        await alice.saw('<', 'SIP/2.0 200', 1);
      }
      await s.pbx.asterisk.event({ Event: 'UserEvent', UserEvent: 'Digits', Digits: '427' });
      await alice.when((host) => host.last().dtmf.join('') === '427');
    });

    behind(mode, `${a} is on hold at Asterisk and hears music`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '105');
      await alice.hears({ hz: music });
    });

    behind(mode, `${a} holds ${b}, which hears music, and takes it back`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      await through(s, alice, bob);
      await alice.act('hold');
      await bob.hears({ hz: music });
      await alice.act('unhold');
      await Promise.all([bob.hears(alice), alice.hears(bob)]);
    });

    behind(mode, `${a} sends ${b} on to a tone: blind REFER`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      const { out } = await through(s, alice, bob);
      await alice.act('refer', { id: out, args: ['101'] });
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

    behind(mode, `it sends ${a} on to a tone: REFER from the PBX`, async (s) => {
      const alice = await s.open('alice', a);
      const first = await up(alice, '108');
      await alice.when((host, id) => host.calls.find((c) => c.id > id)?.state === 'up', first);
      await alice.hears(it);
      // neither library's NOTIFY has a Contact; with the gateway's it takes it, and hangs up by itself
      assert.equal((await alice.state('ended', first)).end.by, 'remote');
    });

    behind(mode, `${a} and ${b} meet in a conference`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      await Promise.all([up(alice, '106'), up(bob, '106')]);
      await Promise.all([alice.hears(bob), bob.hears(alice)]);
    });

    behind(mode, `${a} is told why there is no call: 486, 404, 503, 302`, async (s) => {
      const alice = await s.open('alice', a);
      for (const [number, status, cause] of [['103', 486], ['20017', 486, 17], ['2001', 404, 1], ['20034', 503, 34], ['109', 302]]) {
        const id = await alice.call(number);
        const { end } = await alice.state('ended', id);
        assert.deepEqual([end.status, end.by], [status, 'remote'], number);
        const answers = await alice.messages('<', `SIP/2.0 ${status}`);
        if (cause) assert.match(answers.at(-1), new RegExp(`\\r\\nReason: Q.850;cause=${cause}\\b`));
      }
    });

    behind(mode, `${a} hears early media, then itself`, async (s) => {
      const alice = await s.open('alice', a);
      const id = await alice.call('104', { early: true });
      await alice.hears(it, id);
      assert.deepEqual((await alice.state('up', id)).provisional.includes(183), true);
      await alice.hears(alice, id);
    });

    behind(mode, `${a} loses its WebSocket in a call and hangs up on the new one`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '100');
      await alice.cut();
      await alice.registered();
      await alice.hears(alice);
      await alice.hangup();
      assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
    });

    behind(mode, `${a} loses its WebSocket in a call, and Asterisk hangs up`, async (s) => {
      const alice = await s.open('alice', a);
      const channel = await s.pbx.asterisk.calls(s.pbx.contact(alice.user), '101');
      await alice.incoming();
      await alice.answer();
      await alice.hears(it);
      await alice.cut();
      await s.pbx.asterisk.hangup(channel);
      assert.equal((await alice.state('ended')).end.by, 'remote');
    });
  }
}
