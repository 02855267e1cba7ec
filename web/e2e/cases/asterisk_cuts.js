// The WebSocket goes and comes back while a call with Asterisk is at this or that point. JsSIP
// forgets every transaction with its socket: a call that it makes and that is not up yet ends,
// by its own doing; what is tried then is that the next one is heard.

import assert from 'node:assert/strict';
import { behind, it, main, mixed, others, rung, through, up } from '../lib/behind.js';

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

for (const mode of [...main, ...others.filter((one) => one.mode === 'alias')]) {
  for (const [a, b] of main.includes(mode) ? mixed : mixed.slice(1)) {
    const stays = a === 'sipjs'; // a call that is not up

    behind(mode, `${a} loses its WebSocket while it rings, twice`, async (s) => {
      const alice = await s.open('alice', a);
      const first = await rung(s, alice, '101');
      await back(alice);
      // what it has forgotten rings once more, with the old one beside it until that has rung for a minute
      await alice.when((host, n) => host.calls.length === n, stays ? 1 : 2);
      const into = await alice.incoming();
      await s.pbx.asterisk.hangup(first.channel);
      await alice.state('ended', into);
      await rung(s, alice, '101');
      await back(alice);
      await alice.when((host, n) => host.calls.length === n, stays ? 2 : 4);
      const id = await alice.incoming();
      await alice.answer();
      await alice.state('up', id);
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
