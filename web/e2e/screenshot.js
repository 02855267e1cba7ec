// Writes docs/phone.png: a call in progress on the demo page.

import { fileURLToPath } from 'node:url';
import { launch } from './lib/browser.js';
import { startGateway } from './lib/gateway.js';
import { openPhones, servePhones } from './lib/phone.js';

const path = process.argv[2] ?? fileURLToPath(new URL('../../docs/phone.png', import.meta.url));
const users = ['alice', 'bob'].map((name) => ({ name, password: 'secret' }));
const gateway = await startGateway({ users: Object.fromEntries(users.map((u) => [u.name, u.password])) });
const pages = await servePhones(gateway, users);
const browser = await launch();
try {
  const { page, phones: [alice, bob], close } = await openPhones(browser, pages.url, ['alice', 'bob'], {
    viewport: { width: 1280, height: 700 },
    deviceScaleFactor: 2,
    colorScheme: process.env.SCHEME ?? 'light',
  });
  await Promise.all([alice.registered(), bob.registered()]);
  await page.getByTestId('source').selectOption('synthetic');
  await alice.click('call');
  await bob.click('answer');
  await Promise.all([alice.state('up'), bob.state('up')]);
  for (const { name } of [alice, bob]) {
    await page.waitForFunction((id) => document.querySelector(`[data-testid="${id}"]`).videoWidth > 0, `${name}-remote`);
  }
  await alice.says('timer', /0:0[2-9]|0:[1-5]/);
  await page.waitForFunction(() => [...document.querySelectorAll('[role=meter]')].every((m) => m.ariaValueNow > 60));
  await page.screenshot({ path });
  await close();
} finally {
  await browser.close();
  await pages.stop();
  await gateway.stop();
}
