#!/bin/bash
# Runs a command in a Debian 13 root that sees this tree read-only and uses this machine's Rust. Called by `cargo xtask debian13`
# inside a mount namespace of its own, so that every mount is gone when it ends.
#
#   debian13.sh ROOT TREE COMMAND...
set -euo pipefail
root=$1
tree=$2
shift 2
cargo=${CARGO_HOME:-$HOME/.cargo}
rustup=${RUSTUP_HOME:-$HOME/.rustup}
mkdir -p "$root/tree" "$root/root/.cargo" "$root/root/.rustup" "$root/target"
mount --bind "$tree" "$root/tree"
mount -o remount,bind,ro "$root/tree"
mount --bind "$cargo" "$root/root/.cargo"
mount --bind "$rustup" "$root/root/.rustup"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
exec env -i HOME=/root PATH=/root/.cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_TARGET_DIR=/target \
    chroot "$root" sh -c "cd /tree && $*"
