// Calls between the two libraries, in every pairing.

import assert from 'node:assert/strict';
import { scene } from '../lib/scene.js';

const pairs = [['jssip', 'sipjs'], ['sipjs', 'jssip'], ['jssip', 'jssip'], ['sipjs', 'sipjs']];
const mixed = pairs.slice(0, 2);

for (const [a, b] of pairs) {
  scene(`${a} calls ${b}: both hear each other, the caller hangs up`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await alice.hangup();
    const [mine, theirs] = await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.equal(mine.end.by, 'local');
    assert.equal(theirs.end.by, 'remote');
    assert.ok(mine.provisional.includes(180), `no 180 among ${mine.provisional}`);
  });
}

for (const [a, b] of mixed) {
  scene(`${a} calls ${b}: the callee hangs up`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob);
    await bob.hangup();
    const [mine] = await Promise.all([alice.state('ended'), bob.state('ended')]);
    assert.equal(mine.end.by, 'remote');
    assert.match(await bob.saw('<', 'SIP/2.0 200'), /CSeq: \d+ BYE|CSeq: \d+ REGISTER/);
  });

  scene(`${a} calls ${b} with video: 16 KB of SDP pass, pictures move on both sides`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await s.connect(alice, bob, { video: true, extra: 3 });
    await Promise.all([alice.sees(), bob.sees()]);
    const sent = body((await alice.messages('>', 'INVITE')).at(-1));
    const received = body((await bob.messages('<', 'INVITE')).at(-1));
    assert.ok(sent.length > 16_384, `an SDP of only ${sent.length} bytes`);
    assert.equal(received, sent, 'the offer arrives byte for byte');
    const answer = body((await bob.messages('>', 'SIP/2.0 200')).find((m) => m.includes('m=video')));
    assert.ok((await alice.messages('<', 'SIP/2.0 200')).some((m) => body(m) === answer), 'the answer arrives byte for byte');
    for (const side of [alice, bob]) assert.ok((await side.stats()).framesDecoded > 0);
  });

  scene(`${a} calls ${b} and gives up: CANCEL stops the ringing`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    await alice.call(bob);
    await bob.incoming();
    await alice.state('ringing');
    await alice.hangup();
    await Promise.all([alice.state('ended'), bob.state('ended')]);
    await bob.saw('<', 'CANCEL');
    await alice.saw('<', 'SIP/2.0 487');
  });
}

const body = (message) => message.slice(message.indexOf('\r\n\r\n') + 4);
