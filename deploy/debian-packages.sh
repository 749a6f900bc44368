#!/usr/bin/env bash
# Makes sure that programs from Debian's packages are here: debian-packages.sh PURPOSE PROGRAM[|PROGRAM…]=PACKAGE …
# Installs what is missing when it may (root or sudo without a password, and apt-get); otherwise says what to install and fails.
set -euo pipefail

purpose=$1
shift

have() {
  case $1 in
    initdb) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null ;;
    ensurepip) false ;; # asked only by somebody who has seen that it is missing
    *) command -v "$1" >/dev/null ;;
  esac
}

missing=()
for pair in "$@"; do
  found=no
  IFS='|' read -ra alternatives <<<"${pair%%=*}"
  for program in "${alternatives[@]}"; do
    if have "$program"; then found=yes; fi
  done
  [ "$found" = yes ] || missing+=("${pair#*=}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "For $purpose, install with your package manager what Debian calls: ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! sudo -n true 2>/dev/null; then
    echo "For $purpose, please install: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo -n)
fi

echo "Installing Debian's packages for $purpose: ${missing[*]} …"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -q && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "apt-get could not install: ${missing[*]}" >&2
  exit 1
fi
