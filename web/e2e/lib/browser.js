// One Chromium for the whole suite. Nothing of it is faked but the camera and
// the microphone.

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const places = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
];

const flags = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
];

export function launch(extra = []) {
  const executablePath = places.find((p) => p && existsSync(p));
  if (!executablePath) {
    throw new Error('no Chromium found: install the package "chromium" or set CHROMIUM to its path');
  }
  return chromium.launch({ executablePath, args: [...flags, ...extra] });
}
