// The WebSocket goes and comes back while a call with Asterisk is at this or that point.
// JsSIP gives up every transaction with its socket: a call that is not up yet ends there, by its
// own doing, and one that rings there can't be answered any more. What is tried then is that
// nothing stays, and that the next call is heard.

import assert from 'node:assert/strict';
import { behind, it, main, mixed, rung, through, up } from '../lib/behind.js';

// back cuts a browser off, and waits until it has registered again.
async function back(client) {
  await client.cut();
  await client.registered();
}

// over hangs up, and wants Asterisk to have known of the call.
async function over(client, id) {
  await client.hangup(id);
  assert.match(await client.toldBye(), /^SIP\/2\.0 200/);
}

for (const mode of main) {
  for (const [a, b] of mixed) {
    const stays = a === 'sipjs'; // a call that is not up

    behind(mode, `${a} loses its WebSocket while it rings`, async (s) => {
      const alice = await s.open('alice', a);
      const { into, channel } = await rung(s, alice, '101');
      await back(alice);
      if (!stays) {
        await s.pbx.asterisk.hangup(channel);
        await s.pbx.asterisk.event({ Event: 'Hangup', Channel: channel });
        await rung(s, alice, '101');
      }
      await alice.answer();
      await alice.state('up', stays ? into : null);
      await alice.hears(it);
      await over(alice);
    });

    behind(mode, `${a} loses its WebSocket while ${b} rings`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      const out = await alice.call(s.pbx.number(bob.user));
      const into = await bob.incoming();
      await alice.state('ringing', out);
      await back(alice);
      if (!stays) {
        const { end } = await alice.state('ended', out);
        assert.deepEqual([end.by, end.cause], ['local', 'Canceled']);
        await bob.act('reject', { args: [486] });
        await bob.state('ended', into);
        await through(s, alice, bob);
        return;
      }
      await bob.answer();
      await alice.state('up', out);
      await Promise.all([alice.hears(bob, out), bob.hears(alice, into)]);
    });

    behind(mode, `${a} loses its WebSocket while it holds the call`, async (s) => {
      const alice = await s.open('alice', a);
      await up(alice, '100');
      await alice.act('hold');
      await alice.deaf(alice);
      await back(alice);
      await alice.act('unhold');
      await alice.hears(alice);
      await over(alice);
    });

    behind(mode, `${a} loses its WebSocket in early media`, async (s) => {
      const alice = await s.open('alice', a);
      const id = await alice.call('104', { early: true });
      await alice.hears(it, id);
      await back(alice);
      if (!stays) {
        const { end } = await alice.state('ended', id);
        assert.deepEqual([end.by, end.cause], ['local', 'Canceled']);
      }
      const now = stays ? id : await up(alice, '100');
      await alice.state('up', now);
      await alice.hears(alice, now);
      await over(alice, now);
    });

    behind(mode, `${a} loses its WebSocket right after it sends ${b} on: REFER`, async (s) => {
      const [alice, bob] = await s.two(a, b);
      const { out } = await through(s, alice, bob);
      await alice.cut(() => alice.page.evaluate((id) => {
        window.host.act('refer', id, '101');
        window.host.cut();
      }, out));
      await bob.hears(it);
      await alice.registered();
      await alice.when((host, { out, wanted }) => host.last(out).transfer === wanted, { out, wanted: stays ? 200 : -1 });
      await over(alice, out);
    });
  }
}
