//! Finds DPDK by pkg-config, compiles the C shim, and generates the bindings to it.
//!
//! A missing package ends the build with one line that names what to install.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, panic};

/// The oldest release whose layouts the shim was written against (Debian 12).
const OLDEST_DPDK: &str = "22.11";

/// The libraries the bindings refer to; drivers are plug-ins that EAL loads by itself. `rte_net_ring` is
/// a driver too, linked because it also exports `rte_eth_from_rings`.
const LIBRARIES: [&str; 6] = ["rte_eal", "rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_net_ring"];

/// A library of its own since DPDK 23.11, part of `rte_eal` before.
const LOG_LIBRARY: &str = "rte_log";

/// Every DPDK function that takes and returns only scalars and pointers; whatever touches a structure or
/// is a C inline goes through `shim_*`.
const FUNCTIONS: &str = "shim_.*\
    |rte_(version|strerror|dev_probe|eal_(init|get_runtime_dir|hotplug_(add|remove)))\
    |rte_(eal_(remote_launch|wait_lcore)|get_(main_lcore|next_lcore|tsc_hz)|lcore_(count|to_socket_id))\
    |rte_(openlog_stream|log_(set_global_level|set_level_pattern|cur_msg_loglevel))\
    |rte_pktmbuf_(pool_create_by_ops|free_bulk)|rte_mempool_(avail_count|in_use_count|free)\
    |rte_ring_(create|free)|rte_eth_from_rings\
    |rte_eth_dev_(get_(port_by_name|name_by_port|mtu)|set_mtu|socket_id|start|stop|close|is_valid_port|reset)\
    |rte_eth_dev_(rx_intr_(enable|disable)|count_avail|set_link_(up|down))\
    |rte_eth_promiscuous_(enable|disable|get)|rte_eth_allmulticast_(enable|disable)|rte_eth_stats_reset";

fn main() {
    println!("cargo::rerun-if-changed=csrc");
    println!("cargo::rerun-if-changed=build.rs");

    let dpdk = probe();
    let flags = compiler_flags();
    let out = PathBuf::from(required("OUT_DIR"));
    generate_bindings(&flags, &out.join("bindings.rs"));
    compile_shim(&flags);

    let log = dpdk.libs.iter().any(|library| library == LOG_LIBRARY).then_some(LOG_LIBRARY);
    for library in LIBRARIES.into_iter().chain(log) {
        println!("cargo::rustc-link-lib={library}");
    }
    println!("cargo::rustc-env=DPDK_SYS_VERSION={}", dpdk.version);
    println!("cargo::metadata=version={}", dpdk.version);
}

/// Ends the build with `message`, which cargo prints as its own error line.
fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1);
}

fn required(variable: &str) -> String {
    env::var(variable)
        .unwrap_or_else(|_| fail(&format!("{variable} is not set: build this crate with cargo")))
}

/// Checks that DPDK is installed, emits its library directories and returns what pkg-config knows of it.
fn probe() -> pkg_config::Library {
    let found = pkg_config::Config::new()
        .atleast_version(OLDEST_DPDK)
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk");
    let library = match found {
        Ok(library) => library,
        Err(pkg_config::Error::Command { .. }) => {
            fail("pkg-config is missing: apt install pkg-config libdpdk-dev libclang-dev")
        }
        Err(_) => fail(&format!("DPDK {OLDEST_DPDK} or newer is missing: apt install libdpdk-dev")),
    };
    for path in &library.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    library
}

/// DPDK's own compiler flags, word for word: the `pkg-config` crate drops `-include` and `-march`, without
/// which the headers do not compile.
fn compiler_flags() -> Vec<String> {
    let output = Command::new(env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned()))
        .args(["--cflags", "libdpdk"])
        .output()
        .unwrap_or_else(|error| fail(&format!("pkg-config --cflags libdpdk: {error}")));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

fn generate_bindings(flags: &[String], file: &Path) {
    let builder = bindgen::Builder::default()
        .header("csrc/shim.h")
        .clang_args(flags)
        .allowlist_function(FUNCTIONS)
        .allowlist_type("shim_.*|lcore_function_t")
        .allowlist_var("SHIM_.*")
        .allowlist_recursively(false)
        .blocklist_item("per_lcore_.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(true)
        .derive_default(true)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .use_core();
    // bindgen loads libclang at run time and panics where there is none.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let loaded = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    if loaded.is_err() {
        fail("libclang is missing: apt install libclang-dev");
    }
    let bindings =
        builder.generate().unwrap_or_else(|error| fail(&format!("bindings to csrc/shim.h: {error}")));
    if let Err(error) = bindings.write_to_file(file) {
        fail(&format!("{}: {error}", file.display()));
    }
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    build.file("csrc/shim.c").include("csrc").opt_level(3).extra_warnings(true);
    for flag in flags {
        build.flag(flag);
    }
    if let Err(error) = build.try_compile("dpdk_shim") {
        fail(&format!("csrc/shim.c: {error}"));
    }
}
