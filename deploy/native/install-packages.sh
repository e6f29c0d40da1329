#!/bin/sh
# Installs Debian packages (as root) without letting their own servers start:
# twinstream runs what it needs on ports and data folders of its own.
# usage: install-packages.sh package…   ("java" is the newest JRE there is)
set -eu
export DEBIAN_FRONTEND=noninteractive

# Two of these at once would take each other's policy file away.
exec 9>/var/lib/apt/twinstream-packages.lock
flock 9

policy=/usr/sbin/policy-rc.d
mark="written by twinstream while it installs packages; safe to delete"
if [ ! -e "$policy" ] || grep -q "$mark" "$policy"; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM HUP
  printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
  chmod 755 "$policy"
fi

apt-get update -q -o DPkg::Lock::Timeout=300
packages=
for package in "$@"; do
  if [ "$package" = java ]; then
    for jre in openjdk-21 openjdk-17 default; do
      package=$jre-jre-headless
      if [ "$jre" = default ]; then package=default-jre-headless; fi
      if apt-get install -qq -s "$package" >/dev/null 2>&1; then break; fi
    done
  fi
  packages="$packages $package"
done
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends \
  -o DPkg::Lock::Timeout=300 $packages

# Nor at the next boot: nobody but twinstream asked for these servers.
for unit in redis-server mosquitto postgresql; do
  case " $packages " in
  *" $unit "*) systemctl disable "$unit" >/dev/null 2>&1 || true ;;
  esac
done
