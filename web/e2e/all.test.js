// All browser tests in one process: they share one Chromium and one gateway.
// One of them: node --test --test-name-pattern='two tabs' e2e/all.test.js

import './cases/calls.js';
import './cases/causes.js';
import './cases/dialog.js';
import './cases/register.js';
import './cases/tabs.js';
import './cases/transfer.js';
import './cases/reconnect.js';
import './cases/restart.js';
import './cases/listeners.js';
import './cases/phone.js';
