#!/usr/bin/env bash
# Installs what the tests need and this machine lacks, by name, through apt. Asks for
# root (or sudo) only then. Services of the packages are not started. What cannot be
# had is said loudly; the tests that need it are skipped, which CI=true counts as failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# package, how to tell that it is there, which tests need it
needs='
make                          command:make                            everything
gcc                           command:gcc                             go test -race
libc6-dev                     file:/usr/include/stdlib.h              go test -race
chromium                      browser:                                the browser suite (web/e2e)
sip-tester                    command:sipp                            calls with SIPp
kamailio                      command:kamailio                        calls through Kamailio
kamailio-websocket-modules    glob:/usr/lib/*/kamailio/modules/websocket.so  calls through Kamailio over WebSocket
kamailio-tls-modules          glob:/usr/lib/*/kamailio/modules/tls.so        calls through Kamailio over WebSocket and TLS
kamailio-outbound-modules     glob:/usr/lib/*/kamailio/modules/outbound.so   calls through Kamailio with Outbound
kamailio-presence-modules     glob:/usr/lib/*/kamailio/modules/presence.so   presence and lamps at a Kamailio that keeps the users
'

present() {
  case $1 in
    command:*) command -v "${1#command:}" >/dev/null || [ -x "/usr/sbin/${1#command:}" ] ;;
    file:*) [ -e "${1#file:}" ] ;;
    glob:*) compgen -G "${1#glob:}" >/dev/null ;;
    browser:) [ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null ;;
  esac
}

# missing prints the packages that are not there.
missing() {
  while read -r package check _; do
    if [ -n "$package" ] && ! present "$check"; then echo "$package"; fi
  done <<<"$needs"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts a service when its package is installed, unless this file says no.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  if [ -e $policy ]; then as_root mv $policy $policy.ringway-saved; fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
  as_root chmod 755 $policy
}
allow_services() {
  as_root rm -f $policy
  if [ -e $policy.ringway-saved ]; then as_root mv $policy.ringway-saved $policy; fi
}

install() {
  echo "deps: installing with apt: $*"
  forbid_services
  trap allow_services EXIT
  as_root apt-get -qq update || echo "deps: apt-get update failed; trying with the lists there are" >&2
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends)
  if ! as_root "${apt[@]}" "$@" >/dev/null; then
    for package in "$@"; do # one that cannot be had must not keep the others away
      as_root "${apt[@]}" "$package" >/dev/null || true
    done
  fi
  allow_services
  trap - EXIT
}

mapfile -t lacking < <(missing)
if [ ${#lacking[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "deps: no apt-get here; install these yourself: ${lacking[*]}" >&2
  elif [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "deps: neither root nor sudo; install these yourself: ${lacking[*]}" >&2
  else
    install "${lacking[@]}"
  fi
fi

while read -r package check tests; do
  if [ -n "$package" ] && ! present "$check"; then
    echo "deps: NOT INSTALLED: $package. SKIPPED for want of it: $tests" >&2
  fi
done <<<"$needs"

# What no package manager puts where two versions can stand: it says itself what is missing.
.ci/asterisk.sh || true
