#!/usr/bin/env bash
# Unpacks Asterisk from Debian's packages for the tests, into the user's cache: nothing
# is installed, no root is needed. sid has the newest, bullseye 16, the oldest and hardest.
#
#	.ci/asterisk.sh [SUITE...]    default: sid bullseye
#
# What is wanted: the modules of testdata/asterisk/modules.conf and their libraries, run
# by the loader that comes with them (bin/asterisk). Packages come from the mirror that
# this machine's apt uses, and are checked with Debian's keys.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/ringway
keys=/usr/share/keyrings/debian-archive-keyring.gpg
arch=$(dpkg --print-architecture 2>/dev/null || true)
mapfile -t modules < <(sed -nE 's/^(pre)?load = (.*\.so)$/\2/p' testdata/asterisk/modules.conf)
# what a tree was made from: it is made anew when this changes
stamp=$(cat .ci/asterisk.sh <(printf '%s\n' "${modules[@]}") | sha256sum | cut -c1-16)

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

fail() {
  echo "asterisk: NOT UNPACKED: Asterisk from $suite: $1. SKIPPED for want of it: calls with Asterisk" >&2
  return 1
}

# mirror is where this machine's apt gets Debian itself from.
mirror() {
  apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)' |
    awk '$1 == "Packages" && $2 == "main" && $3 !~ /security|updates|backports/ && $4 ~ /^https?:.*\/debian\/?$/ {print $4; exit}'
}

# private makes apt.conf, with which apt keeps all it writes in $work and knows of no
# installed package; proxies and the like stay as the machine has them.
private() {
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,debs}
  : >"$work/status"
  echo "deb [arch=$arch signed-by=$keys] $1 $suite main" >"$work/sources.list"
  cat >"$work/apt.conf" <<EOF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::Check-Valid-Until "false"; // a mirror may stand still at a date
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::SourceList "$work/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
EOF
}

apt() { nice apt-get -qq -c "$work/apt.conf" "$@" >>"$work/log" 2>&1; }

# libraries are the packages that asterisk and its modules depend on, as far as their names fit.
libraries() {
  apt-cache -c "$work/apt.conf" depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    "${packages[@]}" | awk '/ Depends: lib/ {print $NF}' | grep -E "$1" | sort -u
}

# loader finds the tree's own ld.so.
loader() { find "$1" -path '*-linux-gnu*' -name 'ld-linux*.so.*' | head -1; }

# incomplete says what the binary or a module misses within the tree.
incomplete() {
  local ld dir m
  ld=$(loader "$1") dir=$(dirname "$(find "$1" -name chan_pjsip.so)")
  for m in "$1/usr/sbin/asterisk" "${modules[@]/#/$dir/}"; do
    [ -e "$m" ] || continue # this version has no such module
    "$ld" --inhibit-cache --library-path "$(paths "$1")" --list "$m" 2>&1 |
      awk -v tree="$1/" '/error while loading/ {print; next} /not found/ || /=> \// && index($3, tree) != 1 {print $1}'
  done | sort -u
}

paths() { (find "$1" -type d -name '*-linux-gnu*' -path "*/lib/*" -not -path "*/share/*" | sort; echo "$1/usr/lib") | paste -sd:; }

# unpack fills a tree with packages whose libraries fit a pattern.
unpack() {
  local tree=$1 found
  # some versions have all in asterisk-modules
  mapfile -t packages < <(apt-cache -c "$work/apt.conf" pkgnames asterisk | grep -xE 'asterisk(-modules|-opus|-voicemail)?' |
    while read -r p; do [ -z "$(apt-cache -c "$work/apt.conf" show --no-all-versions "$p" 2>/dev/null)" ] || echo "$p"; done)
  rm -rf "$tree" "$work/debs" "$work"/cache/archives/*.deb
  mkdir -p "$tree/bin" "$work/debs"
  mapfile -t found < <(libraries "$2")
  apt install -y --download-only "${found[@]}" || return 1
  (cd "$work/debs" && apt download "${packages[@]}") || return 1
  for deb in "$work"/debs/*.deb "$work"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$tree"; done
  [ -x "$tree/usr/sbin/asterisk" ]
}

# prune removes what no test peer opens.
prune() {
  local m
  find "$1" -path '*/asterisk/modules/*.so' | while read -r m; do
    [[ " ${modules[*]} " == *" ${m##*/} "* ]] || rm "$m"
  done
  find "$1"/usr/share -mindepth 1 -maxdepth 1 -not -name asterisk -exec rm -rf {} +
  find "$1" -type d -name '*-linux-gnu*' | while read -r m; do
    find "$m" -mindepth 1 -maxdepth 1 -type d -not -name asterisk -not -name nss -exec rm -rf {} +
  done
  (cd "$1" && rm -rf etc var usr/bin lib/systemd usr/lib/systemd)
}

wrapper() {
  cat <<'EOF'
#!/bin/sh
# Runs this Asterisk with the C library that it was built for.
here=$(cd "$(dirname "$0")/.." && pwd)
export OPENSSL_CONF=/dev/null
EOF
  echo "exec \"\$here/$(realpath --relative-to="$1" "$(loader "$1")")\" --inhibit-cache --library-path \\"
  echo "  \"$(paths "$1" | sed "s#$1#\$here#g")\" \"\$here/usr/sbin/asterisk\" \"\$@\""
}

build() {
  local from tree=$work/tree begun=$SECONDS miss
  from=$(mirror)
  [ -n "$from" ] || { fail "no mirror of Debian's among this machine's apt sources"; return; }
  [ -r "$keys" ] || { fail "no $keys (apt install debian-archive-keyring)"; return; }
  private "$from"
  # a mirror that cannot be reached is only a warning to apt
  if ! apt update || [ -z "$(apt-cache -c "$work/apt.conf" show asterisk 2>/dev/null)" ]; then
    fail "no package lists: $(grep -m1 '^[EW]:' "$work/log" | sed -E 's#https?://[^ ]+#(the mirror)#g')"
    return
  fi
  local some='^lib(c6|cap2|crypt1|edit2|jansson4|opus0|opusfile0|popt0|speex1|speexdsp1|sqlite3|srtp2|ssl|stdc[+][+]6|systemd0|unbound|uriparser1|uuid1|xml2|xslt)'
  unpack "$tree" "$some" && miss=$(incomplete "$tree") && [ -z "$miss" ] ||
    { unpack "$tree" . && miss=$(incomplete "$tree") && [ -z "$miss" ]; } ||
    { fail "it lacks ${miss:-$(tail -1 "$work/log" | sed -E 's#https?://[^ ]+#(the mirror)#g')}"; return; }
  prune "$tree"
  wrapper "$tree" >"$tree/bin/asterisk"
  chmod +x "$tree/bin/asterisk"
  "$tree/bin/asterisk" -V >"$tree/VERSION" || { fail "it does not run"; return; }
  echo "$stamp" >"$tree/STAMP"
  rm -rf "$cache/asterisk-$suite"
  mv "$tree" "$cache/asterisk-$suite"
  echo "asterisk: $(cat "$cache/asterisk-$suite/VERSION") from $suite, $(du -sh "$cache/asterisk-$suite" | cut -f1) in $((SECONDS - begun)) s" >&2
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
bad=0
[ $# -gt 0 ] || set -- sid bullseye
for suite; do
  [ "$(cat "$cache/asterisk-$suite/STAMP" 2>/dev/null)" != "$stamp" ] || continue
  [ -n "$arch" ] && command -v apt-get >/dev/null || { fail "this is no Debian"; bad=1; continue; }
  work=$(mktemp -d "$cache/new.XXXXXX")
  build || bad=1
  rm -rf "$work"
done
exit $bad
