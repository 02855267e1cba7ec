// The demo page: what a visitor clicks and sees.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPhones, servePhones } from '../lib/phone.js';
import { startDemo } from '../lib/ringway.js';
import { users, world } from '../lib/scene.js';

// show opens the page for a test, and tells the ladder when that fails.
async function show(t, url, names, body, options) {
  const visit = await openPhones(world().browser, url, names, options);
  const [alice, bob] = visit.phones;
  try {
    await Promise.all([alice.registered(), bob.registered()]);
    await body({ ...visit, alice, bob });
    assert.deepEqual(visit.errors, []);
  } catch (error) {
    const rows = await visit.page.locator('[data-testid="ladder-row"]').evaluateAll((all) =>
      all.map((r) => r.getAttribute('aria-label'))).catch(() => []);
    for (const row of [...rows, ...visit.errors]) t.diagnostic(row);
    throw error;
  } finally {
    await visit.close();
  }
}

// visit is a test of the page on the gateway of the suite, with users of its own.
function visit(name, body, options) {
  test(`demo page: ${name}`, { timeout: 60_000 }, async (t) => {
    const two = users('alice', 'bob');
    const pages = await servePhones(world().gateway, two);
    try {
      await show(t, pages.url, two.map((u) => u.name), body, options);
    } finally {
      await pages.stop();
    }
  });
}

test('ringway demo: the page that it serves makes a call at one click', { timeout: 60_000 }, async (t) => {
  const demo = await startDemo();
  try {
    await show(t, demo.url, ['alice', 'bob'], async ({ alice, bob }) => {
      await alice.click('call');
      await Promise.all([alice.state('up'), bob.state('up')]);
      await Promise.all([alice.level('above', 40), bob.level('above', 40)]);
      await bob.click('hangup');
      await Promise.all([alice.state('idle'), bob.state('idle')]);
    });
  } finally {
    await demo.stop();
  }
});

const labels = (rows, wanted) => rows.filter((r) => wanted.some((w) => r.startsWith(w)));

visit('Call and Answer bring a call up, heard on both sides, shown as a ladder', async ({ page, alice, bob }) => {
  await bob.part('auto').uncheck();
  await alice.click('call');
  await bob.state('ringing');
  await alice.says('detail', 'is ringing');
  await bob.click('answer');
  await Promise.all([alice.state('up'), bob.state('up')]);
  await Promise.all([alice, bob].flatMap((p) => [p.level('above', 40)]));
  // the tone beeps: the meter falls and rises again
  await Promise.all([alice, bob].map(async (p) => {
    await p.level('below', 20);
    await p.level('above', 40);
  }));
  const call = ['INVITE', '180', '200', 'ACK'];
  assert.deepEqual(labels(await bob.rows('in'), call), ['INVITE', 'ACK']);
  assert.deepEqual(labels(await bob.rows('out'), call), ['180 Ringing', '200 OK']);
  assert.deepEqual(labels(await alice.rows('in'), call), ['180 Ringing', '200 OK']);
  await page.locator('[data-testid="ladder-row"][data-label="INVITE"]').first().click();
  const text = await page.getByTestId('message-text').textContent();
  assert.match(text, /^INVITE sip:/);
  assert.match(text, /\r?\nVia: SIP\/2\.0\/WS[\s\S]*m=audio/);
  await page.getByTestId('message-close').click();
  await alice.click('hangup');
  await Promise.all([alice.state('idle'), bob.state('idle')]);
  await bob.says('status', 'hung up');
});

visit('one click is enough: the other phone answers by itself, and can hang up', async ({ alice, bob }) => {
  await bob.click('call');
  await alice.says('detail', 'Answers by itself in');
  await Promise.all([alice.state('up'), bob.state('up')]);
  await Promise.all([alice.level('above', 40), bob.level('above', 40)]);
  await alice.click('hangup');
  await Promise.all([alice.state('idle'), bob.state('idle')]);
});

visit('hold and resume, mute, keys, and video', async ({ page, alice, bob }) => {
  await alice.click('call');
  await bob.click('answer');
  await Promise.all([alice.state('up'), bob.state('up')]);
  for (const phone of [alice, bob]) {
    await page.waitForFunction((id) => {
      const video = document.querySelector(`[data-testid="${id}"]`);
      return video.videoWidth > 0 && video.getVideoPlaybackQuality().totalVideoFrames > 5;
    }, `${phone.name}-remote`, { polling: 50 });
  }
  await alice.click('hold');
  await bob.says('detail', 'holds the call');
  await Promise.all([alice.level('below', 1), bob.level('below', 1)]);
  await alice.click('hold');
  await Promise.all([alice.level('above', 40), bob.level('above', 40)]);
  await bob.click('mute');
  await bob.part('mute').and(page.locator('[aria-pressed="true"]')).waitFor();
  await bob.click('mute');
  await alice.click('keys');
  for (const key of ['4', '2']) await alice.click(`key-${key}`);
  await bob.says('digits', '42');
  await bob.click('hangup');
  await Promise.all([alice.state('idle'), bob.state('idle')]);
  await alice.says('status', 'hung up');
});

visit('reject, and giving up while it rings', async ({ alice, bob }) => {
  await bob.part('auto').uncheck();
  await alice.click('call');
  await bob.click('reject');
  await alice.says('status', '486');
  await alice.click('call');
  await bob.state('ringing');
  await alice.click('hangup');
  await Promise.all([alice.state('idle'), bob.state('idle')]);
});

visit('with a microphone and a camera it sends those', async ({ page, alice, bob }) => {
  await alice.click('call');
  await bob.click('answer');
  await Promise.all([alice.state('up'), bob.state('up')]);
  await Promise.all([alice.level('above', 20), bob.level('above', 20)]);
  assert.equal(await page.getByTestId('notice').isVisible(), false);
  await alice.click('hangup');
  await bob.state('idle');
}, { devices: true });
