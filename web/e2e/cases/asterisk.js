// Browsers and a real Asterisk, with what is heard on both sides. In mode "trunk" the
// gateway keeps the users and Asterisk is behind it; in mode "relay" Asterisk keeps them.

import assert from 'node:assert/strict';
import { behind, held, it, main, mixed, others, rung, through, up } from '../lib/behind.js';
import { openPhones, servePhones } from '../lib/phone.js';
import { wire } from '../lib/wire.js';

// causes of Q.850 and what Asterisk makes of them, with what JsSIP calls that
const causes = [
  ['2001', 404, 'Not Found', 'Not Found', 1],
  ['20017', 486, 'Busy Here', 'Busy', 17],
  ['20018', 408, 'Request Timeout', 'Unavailable', 18],
  ['20019', 480, 'Temporarily Unavailable', 'Unavailable', 19],
  ['20021', 403, 'Forbidden', 'Rejected', 21],
  ['20034', 503, 'Service Unavailable', 'SIP Failure Code', 34],
  ['103', 486, 'Busy Here', 'Busy'],
  ['109', 302, 'Moved Temporarily', 'Redirected'],
];

for (const mode of [...main, ...others]) {
  for (const [a, b] of main.includes(mode) ? mixed : mixed.slice(1)) {
    behind(mode, `${a} hears itself, and hangs up`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '100');
      await alice.hears(alice);
      await alice.hangup();
      assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
    });

    behind(mode, `it calls ${a}, which hears a tone until Asterisk hangs up`, async (s) => {
      const alice = await s.open('alice', a);
      const { channel } = await rung(s, alice, '101');
      await alice.answer();
      await alice.state('up');
      await alice.hears(it);
      await s.pbx.asterisk.hangup(channel);
      assert.equal((await alice.state('ended')).end.by, 'remote');
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

    if (!main.includes(mode)) continue;

    behind(mode, `${a} sends digits in INFO, and gets them back, and as media (RFC 4733)`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '107');
      for (const digit of ['4', '2', '7']) {
        await alice.act('dtmf', { args: [digit] });
        await alice.saw('<', 'SIP/2.0 200', 1);
      }
      await s.pbx.asterisk.event({ Event: 'UserEvent', UserEvent: 'Digits', Digits: '427' });
      await alice.when((host) => host.last().dtmf.join('') === '427');
      await alice.hangup();
      const id = await up(alice, '115');
      await alice.when((host, id) => host.last(id).pc.connectionState === 'connected', id);
      const before = s.pbx.asterisk.count();
      await alice.act('tones', { id, args: ['831'] });
      await s.pbx.asterisk.event({ Event: 'UserEvent', UserEvent: 'Digits', Digits: '831' }, before);
    });

    behind(mode, `${a} is on hold at Asterisk and hears music`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '105');
      await alice.hears(held);
    });

    behind(mode, `it sends ${a} on to a tone: REFER from the PBX`, async (s) => {
      const alice = await s.open('alice', a);
      const first = await up(alice, '108');
      await alice.when((host, id) => host.calls.find((c) => c.id > id)?.state === 'up', first);
      await alice.hears(it);
      // neither library's NOTIFY has a Contact; with the gateway's it takes it, and hangs up by itself
      assert.equal((await alice.state('ended', first)).end.by, 'remote');
    });

    behind(mode, `${a}, ${b} and ${a} meet in a conference`, async (s) => {
      const all = await Promise.all([s.open('alice', a), s.open('bob', b), s.open('carol', a)]);
      await Promise.all(all.map((client) => up(client, '106')));
      await Promise.all(all.flatMap((client) => all.filter((other) => other !== client).map((other) => client.hears(other))));
      await all[0].hangup();
      await Promise.all([all[1].deaf(all[0]), all[1].hears(all[2])]);
    });

    behind(mode, `${a} is told why there is no call: ${causes.map(([, status]) => status).join(', ')}`, async (s) => {
      const alice = await s.open('alice', a);
      for (const [number, status, phrase, word, cause] of causes) {
        const id = await alice.call(number);
        const { end } = await alice.state('ended', id);
        assert.deepEqual([end.status, end.by], [status, 'remote'], number);
        // the gateway adds its own words to a 503 of the last server that it has
        assert.ok(a === 'jssip' ? end.cause === word : end.cause.startsWith(phrase), `${number}: ${end.cause}`);
        const answer = (await alice.messages('<', `SIP/2.0 ${status} ${phrase}`)).at(-1);
        if (cause) assert.match(answer, new RegExp(`\\r\\nReason: Q.850;cause=${cause}\\b`));
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
      const { channel } = await rung(s, alice, '101');
      await alice.answer();
      await alice.hears(it);
      await alice.cut();
      await s.pbx.asterisk.hangup(channel);
      assert.equal((await alice.state('ended')).end.by, 'remote');
    });
  }
}

// What a user reads and hears: the demo page, whose phones call each other by name.
for (const mode of main.filter((one) => one.mode === 'relay')) {
  behind(mode, 'the demo page calls through it, and shows why there is no call', async (s) => {
    const names = ['alice', 'bob'].map((role) => s.name(role));
    const network = s.keep(await wire(s.gateway.wsUrl));
    const pages = s.keep(await servePhones({ ...s.gateway, wsUrl: network.wsUrl }, names.map((name) => ({ name, password: 'secret' }))));
    const visit = s.keep(await openPhones(s.browser, pages.url, names));
    const [alice, bob] = visit.phones;
    await Promise.all([alice.registered(), bob.registered()]);
    await bob.part('auto').uncheck();
    await alice.click('call');
    await bob.state('ringing');
    await bob.click('answer');
    await Promise.all([alice.level('above', 40), bob.level('above', 40)]);
    await alice.click('hangup');
    await bob.says('status', 'hung up');
    await alice.click('call');
    await bob.state('ringing');
    await bob.click('reject');
    await alice.says('status', '486 Busy Here');
    assert.deepEqual(visit.errors, []);
    await s.pbx.asterisk.calls(s.pbx.contact(names[1]), '101');
    await bob.state('ringing');
    network.reset(); // what rings can still be answered
    await bob.part('registration').filter({ hasText: 'connecting' }).waitFor();
    await bob.registered();
    await bob.click('answer');
    await bob.level('above', 40);
  });
}
