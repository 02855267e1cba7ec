// REFER, blind and attended (RFC 3515, RFC 3891, RFC 5589).

import assert from 'node:assert/strict';
import { scene } from '../lib/scene.js';

for (const [a, b, c] of [['jssip', 'sipjs', 'jssip'], ['sipjs', 'jssip', 'sipjs']]) {
  scene(`${a} sends its call with ${b} on to ${c}: blind REFER`, async (s) => {
    const [alice, bob, carol] = await three(s, a, b, c);
    const { out } = await s.connect(alice, bob);
    await alice.act('refer', { id: out, args: [carol.user] });
    await carol.incoming();
    await carol.answer();
    await talk(bob, carol);
    await alice.when((host, id) => host.last(id).transfer === 200, out);
    await alice.hangup(out);
    await bob.when((host) => host.calls[0].state === 'ended');
    await talk(bob, carol);
  });

  scene(`${a} connects its two calls, with ${b} and ${c}: attended REFER`, async (s) => {
    const [alice, bob, carol] = await three(s, a, b, c);
    const first = await s.connect(alice, bob);
    await alice.act('hold', { id: first.out });
    const second = await s.connect(alice, carol);
    await alice.page.evaluate(
      ([call, other]) => { window.host.act('referAttended', call, window.host.last(other)); },
      [first.out, second.out],
    );
    await carol.when((host) => host.calls.length === 2 && host.calls[1].state === 'up');
    await talk(bob, carol);
    await alice.state('ended', second.out);
    const [invite] = await bob.messages('>', 'INVITE');
    assert.match(invite, /\r\nReplaces:/i);
  });
}

const three = (s, a, b, c) => Promise.all([s.open('alice', a), s.open('bob', b), s.open('carol', c)]);

const talk = (x, y) => Promise.all([x.state('up'), y.state('up'), x.hears(y), y.hears(x)]);
