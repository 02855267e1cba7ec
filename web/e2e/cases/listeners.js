// Ways in: TLS, IPv6, and pages that may not.

import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { launch } from '../lib/browser.js';
import { makeCertificate } from '../lib/certificate.js';
import { servePages } from '../lib/pages.js';
import { foreign, scene } from '../lib/scene.js';

const hasIPv6 = Object.values(networkInterfaces()).flat().some((i) => i.address === '::1');

scene('wss with a certificate of our own: a call over it, in both directions and to ws', async (s) => {
  const { cert, key, flag } = s.keep(await makeCertificate());
  const { wssUrl } = await s.alone({ certificate: { cert, key } });
  s.browser = s.keep(await launch([flag]));
  const [alice, bob, carol] = await Promise.all([
    s.open('alice', 'jssip', { ws: wssUrl }), s.open('bob', 'sipjs', { ws: wssUrl }), s.open('carol', 'jssip')]);
  for (const [a, b] of [[alice, bob], [bob, alice], [carol, alice]]) {
    await s.connect(a, b);
    await b.hangup();
    await a.state('ended');
  }
  const invites = [...await bob.messages('<', 'INVITE'), ...await alice.messages('<', 'INVITE')];
  assert.equal(invites.length, 3);
  for (const invite of invites) {
    assert.match(invite, /^Via: SIP\/2\.0\/WSS /m);
    assert.doesNotMatch(invite, /transport=wss/i, 'RFC 7118 defines transport=ws, no other');
  }
}, { skip: foreign });

scene('wss with a certificate that the browser does not know: no call gets through', async (s) => {
  const { cert, key } = s.keep(await makeCertificate());
  const { wssUrl } = await s.alone({ certificate: { cert, key } });
  const alice = await s.tab('alice', 'jssip', { ws: wssUrl });
  await alice.saw('*', 'WebSocket closed 1006');
  assert.deepEqual(await alice.messages('*', 'WebSocket open'), []);
  const bob = await s.open('bob', 'sipjs'); // nobody else is hindered
  await bob.call(alice);
  assert.equal((await bob.state('ended')).end.status, 480);
}, { skip: foreign });

scene('IPv6: a call over [::1], and one to IPv4', async (s) => {
  const { ipv6Url } = await s.alone({ ipv6: true });
  const [alice, bob, carol] = await Promise.all([
    s.open('alice', 'jssip', { ws: ipv6Url }), s.open('bob', 'sipjs', { ws: ipv6Url }), s.open('carol', 'jssip')]);
  for (const [a, b] of [[alice, bob], [bob, carol], [carol, bob]]) {
    await s.connect(a, b);
    await a.hangup();
    await b.state('ended');
  }
  const [invite] = await bob.messages('<', 'INVITE');
  assert.equal(invite.match(/^Record-Route: .*@\[::1\]:\d+/gm)?.length, 2, invite);
}, { skip: foreign || !hasIPv6 && 'this machine has no ::1' });

for (const library of ['jssip', 'sipjs']) {
  scene(`${library} on a page of a foreign origin: 403 at the upgrade, no socket; the page that may gets in`, async (s) => {
    const ours = s.keep(await servePages('e2e/dist'));
    await s.alone({ settings: { origins: [new URL(ours.url).origin] } });
    await s.tab('alice', library).catch(() => {}); // sipjs tells who starts it
    const [alice] = s.clients;
    await alice.saw('*', 'WebSocket closed 1006');
    assert.ok(alice.log.some((line) => /unexpected response code: 403/i.test(line)), alice.log.join('\n'));
    s.pages = ours;
    const [bob, carol] = await Promise.all([s.open('bob', library), s.open('carol', 'jssip')]);
    await s.connect(bob, carol);
    await carol.hangup();
    await bob.state('ended');
    assert.deepEqual((await alice.snapshot()).registered, false);
    assert.deepEqual(await alice.messages('*', 'WebSocket open'), []);
    assert.deepEqual(await alice.messages('<', ''), []);
  }, { skip: foreign });
}
