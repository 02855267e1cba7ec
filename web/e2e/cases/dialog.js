// What happens within a call: hold, re-INVITE, DTMF; and MESSAGE beside it.

import assert from 'node:assert/strict';
import { scene } from '../lib/scene.js';

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`${a} holds ${b}: the sound stops both ways and returns`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.act('hold');
    await bob.when((host) => host.last().remoteHold);
    await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
    await alice.act('unhold');
    await bob.when((host) => !host.last().remoteHold);
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
  });

  scene(`${b}, called by ${a}, holds: the sound stops both ways and returns`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await bob.act('hold');
    await Promise.all([bob.deaf(alice), alice.deaf(bob)]);
    await bob.act('unhold');
    await Promise.all([bob.hears(alice), alice.hears(bob)]);
  });

  scene(`${a} and ${b} renegotiate in turn: re-INVITE from both sides, sound goes on`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.act('reinvite');
    await bob.when((host) => host.last().reinvites === 1);
    await bob.act('reinvite');
    await alice.when((host) => host.last().reinvites === 1);
    const before = await Promise.all([alice.stats(), bob.stats()]);
    await Promise.all([alice.hears(bob), bob.hears(alice)]);
    for (const [i, client] of [alice, bob].entries()) await more(client, before[i].packetsReceived);
  });

  scene(`${a} sends DTMF in INFO to ${b}, and back`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.act('dtmf', { args: ['5'] });
    await bob.when((host) => host.last().dtmf.join('') === '5');
    await bob.act('dtmf', { args: ['#'] });
    await alice.when((host) => host.last().dtmf.join('') === '#');
  });

  scene(`${a} and ${b} exchange MESSAGEs`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    const text = 'Grüße – привет – 你好 – 🚪';
    assert.equal(await alice.message(bob, text), 200);
    assert.equal(await bob.message(alice, 'and back'), 200);
    assert.deepEqual((await bob.snapshot()).inbox, [{ from: alice.user, text }]);
    assert.deepEqual((await alice.snapshot()).inbox, [{ from: bob.user, text: 'and back' }]);
  });
}

// more waits until packets beyond those arrived.
function more(client, packets) {
  return client.page.waitForFunction(
    async (n) => (await window.host.last().stats()).packetsReceived > n, packets, { polling: 50 });
}
