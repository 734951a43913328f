//! Compiles the shim to ipsec-mb where the library is installed; sets `cfg(ipsec_mb)` if it is.
//!
//! Without it the crate builds all the same, with the portable back-end alone.
//! `IPSEC_MB_INCLUDE` and `IPSEC_MB_LIB` name other directories of the header and the library.

use std::{env, path::Path};

const SHIM: &str = "shim";
const SOURCES: [&str; 3] = ["shim/keys.c", "shim/jobs.c", "shim/etm.c"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(ipsec_mb)");
    println!("cargo::rerun-if-changed={SHIM}");
    println!("cargo::rerun-if-env-changed=IPSEC_MB_INCLUDE");
    println!("cargo::rerun-if-env-changed=IPSEC_MB_LIB");
    if env::var_os("CARGO_FEATURE_IPSEC_MB").is_none() || !is_x86_64() {
        return;
    }
    let include = env::var("IPSEC_MB_INCLUDE").ok();
    let header = Path::new(include.as_deref().unwrap_or("/usr/include")).join("intel-ipsec-mb.h");
    println!("cargo::rerun-if-changed={}", header.display());
    if !header.exists() {
        return;
    }
    let mut shim = cc::Build::new();
    shim.files(SOURCES).std("c11").opt_level(2).warnings(true);
    if let Some(include) = include {
        shim.include(include);
    }
    match shim.try_compile("esplanade_mb") {
        Ok(()) => link(),
        Err(error) => println!("cargo::warning=ipsec-mb is left out: its shim does not compile: {error}"),
    }
}

fn is_x86_64() -> bool {
    env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64")
}

fn link() {
    if let Ok(lib) = env::var("IPSEC_MB_LIB") {
        println!("cargo::rustc-link-search=native={lib}");
    }
    println!("cargo::rustc-link-lib=dylib=IPSec_MB");
    println!("cargo::rustc-cfg=ipsec_mb");
}
