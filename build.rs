//! Stamps what `esplanade version` prints: the git revision and the DPDK version of the machine that built it.

use std::process::Command;

fn main() {
    let revision = output("git", &["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let dirty = output("git", &["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| !changes.is_empty());
    let dpdk = output("pkg-config", &["--modversion", "libdpdk"]).unwrap_or_else(|| "not installed".into());
    println!("cargo:rustc-env=ESPLANADE_REVISION={revision}{}", if dirty { "+changes" } else { "" });
    println!("cargo:rustc-env=ESPLANADE_DPDK={dpdk}");
    for path in [".git/HEAD", ".git/logs/HEAD", "build.rs"] {
        if std::path::Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
