#!/bin/bash
# Makes the Linux kernel peer: a User Mode Linux kernel and an initramfs that is a whole Debian root with strongSwan, iperf3
# and iproute2. It gives the tests a real kernel's native ESP (protocol 50) without loading a module on this machine.
#
#   build.sh FOLDER      result: FOLDER/linux.uml and FOLDER/base.cpio.zst; about a minute; needs root
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh FOLDER}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# The machine's own package sources, whatever they are, so that a mirror or proxy set up here is used here too.
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] && grep -qE '^(deb |URIs:)' "$file" && sources+=("$file")
done
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
packages=iproute2,iputils-ping,iperf3,strongswan-swanctl,charon-systemd,strongswan-libcharon,libcharon-extra-plugins
packages+=,libstrongswan-extra-plugins,libstrongswan-standard-plugins,tcpdump,socat,kmod,procps,busybox-static
mmdebstrap --mode=root --variant=minbase --include="$packages" --aptopt='APT::Install-Recommends false' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$root" "${sources[@]}" >"$out/build.log" 2>&1 ||
    { tail -20 "$out/build.log" >&2; exit 1; }

(cd "$work" && apt-get -q download user-mode-linux >>"$out/build.log" 2>&1)
dpkg -x "$work"/user-mode-linux_*.deb "$work/uml"
cp "$work/uml/usr/bin/linux.uml" "$out/linux.uml"
version=$(ls "$work/uml/usr/lib/uml/modules")
mkdir -p "$root/usr/lib/modules"
mv "$work/uml/usr/lib/uml/modules/$version" "$root/usr/lib/modules/"
cd "$root/usr/lib/modules/$version/kernel"
rm -rf sound virt fs drivers/{block,scsi,md,usb,hid,input}
for d in net/*; do
    case $d in net/core|net/ipv4|net/ipv6|net/key|net/xfrm|net/sched|net/netfilter|net/packet|net/8021q|net/llc|net/802) ;; *) rm -rf "$d" ;; esac
done
chroot "$root" depmod "$version" 2>/dev/null || true
cd "$root"
rm -rf boot/* var/cache/* var/lib/apt var/lib/dpkg usr/lib/udev usr/lib/systemd/system usr/lib/apt \
    usr/share/{doc,man,locale,perl,perl5,zoneinfo,i18n,bash-completion,info,lintian} usr/lib/x86_64-linux-gnu/{perl-base,gconv,perl}
install -m 0755 "$here/init" init
find . -print0 | cpio --null -o -H newc --quiet | zstd -T0 -q -3 -f -o "$out/base.cpio.zst.part"
mv "$out/base.cpio.zst.part" "$out/base.cpio.zst"
echo "guest: kernel $version, $(du -h "$out/base.cpio.zst" | cut -f1) image"
