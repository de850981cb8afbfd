#!/bin/sh
# install.sh: installs by name what the lab and go test -race need and this machine lacks. Starts no service; does nothing
# when all is there.
set -eu

# command:package
wanted='linux.uml:user-mode-linux keepalived:keepalived nginx:nginx-light ipvsadm:ipvsadm tcpdump:tcpdump
modprobe:kmod ip:iproute2 vtysh:frr nft:nftables ping:iputils-ping gcc:gcc chromium:chromium systemd-analyze:systemd
postfix:postfix saslpasswd2:sasl2-bin unbound:unbound socat:socat redis-server:redis-server pg_ctlcluster:postgresql mariadbd:mariadb-server'

missing=
PATH=$PATH:/usr/sbin:/sbin
for pair in $wanted; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -e /usr/include/stdlib.h ] || missing="$missing libc6-dev"
ls /usr/lib/*/sasl2/libplain.so >/dev/null 2>&1 || missing="$missing libsasl2-modules"
[ -d /usr/share/fonts/truetype/dejavu ] || missing="$missing fonts-dejavu-core"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "install.sh: programs are missing and this is no Debian: install by hand what these packages hold:$missing" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "install.sh: packages are missing; as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

# The peers are run by the lab in namespaces of their own, never as services of this machine.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
