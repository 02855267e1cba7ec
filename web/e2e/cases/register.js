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

// instanceIdAlwaysAdded has SIP.js write +sip.instance twice when it has a reg-id too.
// RFC 3261 §7.3.1 allows a parameter once; the same value twice names one instance still.
scene('sipjs writes +sip.instance twice in its Contact: it registers, is called and survives a cut', async (s) => {
  const instance = crypto.randomUUID();
  const [alice, bob] = await Promise.all([s.open('alice', 'jssip'), s.open('bob', 'sipjs', { instance })]);
  const [register] = await bob.messages('>', 'REGISTER');
  assert.equal(register.split(instance).length - 1, 2, register);
  const accepted = (await bob.messages('<', 'SIP/2.0 200'))[0];
  assert.match(accepted, /\r\nContact:[^\r]*;pub-gruu="/, 'an instance has a GRUU (RFC 5627)');
  await s.connect(alice, bob);
  await bob.cut();
  await bob.registered();
  const bindings = (await bob.messages('<', 'SIP/2.0 200')).at(-1).match(/^Contact:/gm);
  assert.equal(bindings?.length, 1, 'the new registration takes the place of the old one (RFC 5626 §6)');
  await alice.hangup();
  await bob.state('ended');
  assert.match(await alice.toldBye(), /^SIP\/2\.0 200/);
  await s.connect(bob, alice);
});
