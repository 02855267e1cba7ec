// What a caller is told when there is no call, in both libraries.

import assert from 'node:assert/strict';
import { foreign, scene } from '../lib/scene.js';

for (const [a, b] of [['jssip', 'sipjs'], ['sipjs', 'jssip']]) {
  scene(`${a} is told what became of its calls: 480 offline, 404 unknown, 486 busy, 603 declined by ${b}`, async (s) => {
    const [alice, bob] = await s.two(a, b);
    const told = async (whom) => {
      const id = await alice.call(whom);
      const { end } = await alice.state('ended', id);
      assert.equal(end.by, 'remote');
      return end;
    };
    assert.equal((await told(s.name('carol'))).status, 480);
    assert.equal((await told('nobody-of-that-name')).status, 404);
    for (const status of [486, 603]) {
      const id = await alice.call(bob);
      await bob.incoming();
      await alice.state('ringing', id);
      await bob.act('reject', { args: [status] });
      const { end } = await alice.state('ended', id);
      assert.deepEqual([end.status, end.by], [status, 'remote']);
    }
    await s.connect(alice, bob); // and none of it stays
    await alice.hangup();
    await bob.state('ended');
  });

  scene(`nobody answers at ${b}: ${a} is told 480 after ring_timeout, and the ringing stops`, async (s) => {
    await s.alone({ settings: { ring_timeout: '2s' } });
    const [alice, bob] = await s.two(a, b);
    await alice.call(bob);
    await bob.incoming();
    await alice.state('ringing');
    const { end } = await alice.state('ended');
    assert.deepEqual([end.status, end.by], [480, 'remote']);
    assert.match((await alice.messages('<', 'SIP/2.0 480'))[0], /^SIP\/2\.0 480 No Answer\r\n/);
    await bob.state('ended');
    await bob.saw('<', 'CANCEL');
  }, { skip: foreign });
}
