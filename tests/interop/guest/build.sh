#!/bin/bash
# Makes the Linux kernel peers: a User Mode Linux kernel, and an initramfs for each peer that is a whole Debian root with an IKE
# daemon, iperf3 and iproute2. They give the tests a real kernel's native ESP (protocol 50) without loading a module on this
# machine.
#
#   build.sh FOLDER [PEER...]    result: FOLDER/linux.uml, FOLDER/PEER.cpio.zst; about a minute for each peer; needs root
#
#   base          strongSwan of this machine's Debian
#   libreswan     libreswan of this machine's Debian
#   strongswan6   strongSwan 6, of Debian 13
#   frr           that of base, and FRR
#   xfrm_interface  no peer: the module of that name for all of them (FOLDER/xfrm_interface.ko)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh FOLDER [PEER...]}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$out/build.log
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

common=iproute2,iputils-ping,iperf3,tcpdump,socat,kmod,procps,busybox-static
strongswan=strongswan-swanctl,charon-systemd,strongswan-libcharon,libcharon-extra-plugins
strongswan+=,libstrongswan-extra-plugins,libstrongswan-standard-plugins

# kernel: linux.uml, and its modules in $work/modules.
kernel() {
    (cd "$work" && apt-get -q download user-mode-linux >>"$log" 2>&1)
    dpkg -x "$work"/user-mode-linux_*.deb "$work/uml"
    cp "$work/uml/usr/bin/linux.uml" "$out/linux.uml"
    version=$(ls "$work/uml/usr/lib/uml/modules")
    mv "$work/uml/usr/lib/uml/modules" "$work/modules"
    cd "$work/modules/$version/kernel"
    rm -rf sound virt fs drivers/{block,scsi,md,usb,hid,input}
    for d in net/*; do
        case $d in net/core|net/ipv4|net/ipv6|net/key|net/xfrm|net/sched|net/netfilter|net/packet|net/8021q|net/llc|net/802) ;; *) rm -rf "$d" ;; esac
    done
}

# module: xfrm_interface.ko, which Debian's UML kernel is configured without, from the source of that very kernel.
module() {
    local source=linux-source-${version%.*}
    mkdir -p "$work/source"
    (cd "$work" && apt-get -q download "$source=$version-1" >>"$log" 2>&1) ||
        (cd "$work" && apt-get -q download "$source" >>"$log" 2>&1)
    dpkg -x "$work/$source"_*.deb "$work/deb"
    local archive=$work/deb/usr/src/$source.tar.xz
    # No driver is built; their configuration files are read all the same.
    tar -C "$work/source" --strip-components=1 --exclude='*/drivers/*/*' --exclude='*/sound/*' --exclude='*/Documentation/*' -xf "$archive"
    tar -C "$work/source" --strip-components=1 --wildcards -xf "$archive" '*/Kconfig*' '*/drivers/*/Makefile' '*/sound/*/Makefile'
    cd "$work/source"
    zcat "$work/uml/usr/share/doc/user-mode-linux/config.gz" |
        sed 's/.*CONFIG_XFRM_INTERFACE.*/CONFIG_XFRM_INTERFACE=m/; s/.*CONFIG_LOCALVERSION_AUTO.*/CONFIG_LOCALVERSION_AUTO=n/' >.config
    make ARCH=um olddefconfig modules_prepare >>"$log" 2>&1
    # The kernel has no versions of symbols, so what they are is found when the module is loaded.
    make ARCH=um KBUILD_MODPOST_WARN=1 M=net/xfrm CONFIG_XFRM_ALGO= CONFIG_XFRM_USER= CONFIG_XFRM_IPCOMP= modules >>"$log" 2>&1
    mv net/xfrm/xfrm_interface.ko "$out/"
    cd "$out"
    echo "guest module xfrm_interface for kernel $version"
}

# sources SUITE: the machine's own package sources, whatever they are, so that a mirror or proxy set up here is used here too.
sources() {
    local file copy
    mkdir -p "$work/$1"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [ -s "$file" ] && grep -qE "^(deb |URIs:)" "$file" && grep -q "$suite" "$file" || continue
        copy=$work/$1/${file##*/}
        sed "s/\b$suite\b/$1/g" "$file" >"$copy"
        echo "$copy"
    done
}

# image PEER SUITE PACKAGES
image() {
    local root=$work/root
    local -a from
    mapfile -t from < <(sources "$2")
    mmdebstrap --mode=root --variant=minbase --include="$common,$3" --aptopt='APT::Install-Recommends false' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$2" "$root" "${from[@]}" >>"$log" 2>&1 ||
        { tail -20 "$log" >&2; exit 1; }
    mkdir -p "$root/usr/lib/modules"
    cp -a "$work/modules/$version" "$root/usr/lib/modules/"
    chroot "$root" depmod "$version" 2>/dev/null || true
    cd "$root"
    rm -rf boot/* var/cache/* var/lib/apt var/lib/dpkg usr/lib/udev usr/lib/systemd/system usr/lib/apt \
        usr/share/{doc,man,locale,perl,perl5,zoneinfo,i18n,bash-completion,info,lintian} usr/lib/x86_64-linux-gnu/{perl-base,gconv,perl}
    install -m 0755 "$here/init" init
    find . -print0 | cpio --null -o -H newc --quiet | zstd -T0 -q -3 -f -o "$out/$1.cpio.zst.part"
    mv "$out/$1.cpio.zst.part" "$out/$1.cpio.zst"
    cd "$out"
    rm -rf "$root"
    echo "guest $1: kernel $version, $(du -h "$out/$1.cpio.zst" | cut -f1) image"
}

: >"$log"
kernel
[ $# -gt 0 ] || set -- base libreswan strongswan6
for peer; do
    case $peer in
        base) image "$peer" "$suite" "$strongswan" ;;
        libreswan) image "$peer" "$suite" libreswan,libnss3-tools ;;
        frr) image "$peer" "$suite" "$strongswan,frr" ;;
        xfrm_interface) module ;;
        strongswan6) image "$peer" trixie "$strongswan" ;;
        *) echo "no such peer: $peer" >&2; exit 2 ;;
    esac
done
