// The browser tests with a real Asterisk, beside all.test.js: they have their own
// Chromium and gateways.

import './cases/asterisk.js';
import './cases/asterisk_events.js';
import './cases/asterisk_cuts.js';
import './cases/asterisk_lost.js';
