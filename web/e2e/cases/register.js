// Registration as the libraries see it.

import assert from 'node:assert/strict';
import { scene } from '../lib/scene.js';

for (const library of ['jssip', 'sipjs']) {
  scene(`${library} with a wrong password is refused and says so`, async (s) => {
    const alice = await s.tab('alice', library, { password: 'wrong' });
    const { registered, refused } = await alice.when((host) => host.status.refused && host.status);
    assert.equal(registered, false);
    assert.ok([401, 403].includes(refused.status), `status ${refused.status}`);
    const bob = await s.open('bob', 'jssip');
    await bob.call(alice);
    assert.equal((await bob.state('ended')).end.status, 480);
  });

  scene(`${library} registers again with the nonce that it had`, async (s) => {
    const alice = await s.open('alice', library);
    await alice.page.evaluate(() => { window.host.phone.register?.() ?? window.host.phone.ua.register(); });
    await alice.when((host) =>
      host.messages().filter((m) => m.dir === '<' && /^SIP\/2\.0 200/.test(m.text) && /CSeq: *\d+ REGISTER/i.test(m.text)).length === 2);
    assert.equal((await alice.snapshot()).registered, true);
  });

  scene(`${library} unregisters: callers are told 480`, async (s) => {
    const [alice, bob] = await Promise.all([s.open('alice', 'jssip'), s.open('bob', library)]);
    await bob.page.evaluate(() => { window.host.phone.registerer?.unregister() ?? window.host.phone.ua.unregister(); });
    await bob.when((host) => !host.status.registered);
    await alice.call(bob);
    assert.equal((await alice.state('ended')).end.status, 480);
  });
}
