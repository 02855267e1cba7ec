// The browser tests with a real FreeSWITCH, beside all.test.js: they have their own
// Chromium and gateways. Without one all are one test that is skipped.

import { test } from 'node:test';
import { missing } from './lib/freeswitch.js';

if (missing) test('browsers in front of a FreeSWITCH', { skip: missing }, () => {});
else await import('./cases/freeswitch.js');
