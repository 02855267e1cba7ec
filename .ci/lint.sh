#!/usr/bin/env bash
# gofmt, go vet and staticcheck over the whole module. Prints what is wrong; exits 1 then.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
unformatted=$(git ls-files --cached --others --exclude-standard -- '*.go' | while read -r f; do if [ -e "$f" ]; then echo "$f"; fi; done | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not formatted by gofmt:\n%s\n' "$unformatted"
  failed=1
fi
go vet ./... ./.ci/testsum || failed=1
go tool staticcheck ./... ./.ci/testsum || failed=1
[ $failed = 0 ] && echo "lint: clean"
exit $failed
