// The browser tests with a real Kamailio, beside all.test.js: they have their own
// Chromium and gateways.

import './cases/kamailio.js';
