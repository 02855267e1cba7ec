#!/usr/bin/env bash
# What make test does: installs what is missing, runs the Go tests with the race
# detector, then the browser suite, and prints the runners' own summaries at the end.
# What was said is kept in tmp/.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p tmp
: >tmp/test-go.json
: >tmp/test-web.txt
failed=0

.ci/deps.sh
go build -o tmp/testsum ./.ci/testsum

if command -v npm >/dev/null; then
  make --no-print-directory web
else
  echo "test: no npm: the phone page is not bundled" >&2
fi
make --no-print-directory build

race=-race
if ! command -v gcc >/dev/null; then
  race=
  echo "test: no gcc: SKIPPED: the race detector" >&2
  [ "${CI:-}" != true ] || failed=1
fi
echo "test: go test $race ./..."
CGO_ENABLED=${race:+1} go test $race -json ./... ./.ci/testsum 2>&1 | tee tmp/test-go.json | tmp/testsum show || failed=1

if [ -f web/package.json ]; then
  if ! command -v npm >/dev/null; then
    echo "test: no npm: SKIPPED: the browser suite" >&2
    [ "${CI:-}" != true ] || failed=1
  elif [ -z "${CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null; then
    echo "test: no Chromium: SKIPPED: the browser suite" >&2
    [ "${CI:-}" != true ] || failed=1
  else
    echo "test: the browser suite"
    (cd web && npm test --silent) 2>&1 | tee tmp/test-web.txt || failed=1
  fi
fi

tmp/testsum sum -skips .ci/skips.txt tmp/test-go.json tmp/test-web.txt | tee tmp/summary.txt || failed=1
exit $failed
