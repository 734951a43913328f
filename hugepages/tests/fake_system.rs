//! Every check against a made-up machine: a tree of files in a temporary directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hugepages::{Binding, Check, MemoryLock, Needs, Pool, Reservation, ReserveError, Status, System, checks};
use tempfile::TempDir;

struct Machine(TempDir);

impl Machine {
    /// A small machine without hugepages, vfio and IOMMU.
    fn small() -> Self {
        let machine = Self(TempDir::new().expect("a temporary directory"));
        machine.file("proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable:    2048000 kB\nHugePages_Free:        0\nHugepagesize:       2048 kB\n");
        machine.file(
            "proc/cpuinfo",
            "processor : 0\nflags\t\t: fpu aes pclmulqdq\nprocessor : 1\nflags\t\t: fpu aes pclmulqdq vaes\n",
        );
        machine.file("proc/self/limits", "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         8388608              8388608              bytes     \n");
        machine.file("sys/devices/system/cpu/online", "0-1\n");
        machine.file("sys/devices/system/cpu/isolated", "\n");
        machine.pool("sys/kernel/mm/hugepages", 2048, 0, 0);
        machine.pool("sys/kernel/mm/hugepages", 1_048_576, 0, 0);
        machine.pool("sys/devices/system/node/node0/hugepages", 2048, 0, 0);
        machine
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn pool(&self, directory: &str, size_kib: u64, total: u64, free: u64) {
        self.file(&format!("{directory}/hugepages-{size_kib}kB/nr_hugepages"), &format!("{total}\n"));
        self.file(&format!("{directory}/hugepages-{size_kib}kB/free_hugepages"), &format!("{free}\n"));
    }

    fn nic(&self, address: &str, driver: Option<&str>, interface: Option<&str>) {
        let device = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{device}/class"), "0x020000\n");
        self.file(&format!("{device}/vendor"), "0x8086\n");
        self.file(&format!("{device}/device"), "0x1572\n");
        self.file(&format!("{device}/numa_node"), "-1\n");
        if let Some(driver) = driver {
            fs::create_dir_all(self.path(&format!("sys/bus/pci/drivers/{driver}"))).expect("made");
            symlink(Path::new("../../drivers").join(driver), self.path(&format!("{device}/driver")))
                .expect("linked");
        }
        if let Some(interface) = interface {
            fs::create_dir_all(self.path(&format!("{device}/net/{interface}"))).expect("made");
        }
    }

    fn system(&self) -> System {
        System::at(self.0.path())
    }
}

fn check(machine: &Machine, needs: &Needs, name: &str) -> Check {
    let all = checks(&machine.system(), needs);
    for check in &all {
        assert_eq!(
            check.fix.is_some(),
            check.status != Status::Ok,
            "a fix where there is something to fix: {check:?}"
        );
    }
    all.into_iter().find(|check| check.name == name).expect(name)
}

fn with_nic() -> Needs {
    Needs { nics: vec!["0000:01:00.0".to_owned()], ..Needs::default() }
}

#[test]
fn transparent_hugepages_are_had_by_asking() {
    let machine = Machine::small();
    let status = |modes: &str| {
        machine.file("sys/kernel/mm/transparent_hugepage/enabled", modes);
        check(&machine, &Needs::default(), "transparent-hugepages").status
    };
    assert_eq!(status("always [madvise] never\n"), Status::Ok);
    assert_eq!(status("[always] madvise never\n"), Status::Ok);
    assert_eq!(status("always madvise [never]\n"), Status::Warn);
}

#[test]
fn too_few_hugepages_warn_and_say_how_many_to_reserve() {
    let machine = Machine::small();
    machine.pool("sys/kernel/mm/hugepages", 2048, 10, 8);
    let found = check(&machine, &Needs::default(), "hugepages");
    assert_eq!(found.status, Status::Warn);
    assert!(found.found.contains("16 MiB free, 256 MiB needed"), "{found:?}");
    // 240 MiB are missing: 120 pages beside the 10 there are.
    assert!(
        found
            .fix
            .expect("a fix")
            .contains("echo 130 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    );

    machine.pool("sys/kernel/mm/hugepages", 1_048_576, 1, 1);
    assert_eq!(machine.system().free_hugepages_mib(), 16 + 1024);
    assert_eq!(check(&machine, &Needs::default(), "hugepages").status, Status::Ok);
}

#[test]
fn without_sysfs_the_free_pages_come_from_meminfo() {
    let machine = Machine::small();
    fs::remove_dir_all(machine.path("sys/kernel")).expect("removed");
    machine.file("proc/meminfo", "HugePages_Free:       64\nHugepagesize:       2048 kB\n");
    assert_eq!(machine.system().free_hugepages_mib(), 128);
    assert_eq!(System::at("/nonexistent").free_hugepages_mib(), 0);
}

#[test]
fn reserving_writes_what_is_missing_and_checks_what_was_granted() {
    let machine = Machine::small();
    let system = machine.system();
    machine.pool("sys/kernel/mm/hugepages", 2048, 6, 4);
    let wish = Reservation { node: None, size_kib: 2048, pages: 4 };
    assert_eq!(system.reserve(wish).expect("enough"), Pool { node: None, size_kib: 2048, total: 6, free: 4 });

    // Nothing grants pages here: the number is written, and the shortage seen.
    let error = system.reserve(Reservation { pages: 10, ..wish }).expect_err("no kernel");
    assert!(
        matches!(error, ReserveError::Short { asked: 10, pool: Pool { total: 12, free: 4, .. } }),
        "{error:?}"
    );
    assert!(error.to_string().contains("hugepagesz=2048K"), "{error}");
    let written = fs::read_to_string(machine.path("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"));
    assert_eq!(written.expect("the file"), "12");

    let on_node = Reservation { node: Some(0), size_kib: 2048, pages: 1 };
    assert!(system.reserve(on_node).expect_err("no kernel").to_string().contains("on NUMA node 0"));
    assert_eq!(system.node_pools(), [Pool { node: Some(0), size_kib: 2048, total: 1, free: 0 }]);
    let none = system.reserve(Reservation { node: Some(7), ..wish });
    assert!(matches!(none, Err(ReserveError::NoSuchPool { node: Some(7), .. })));
}

#[test]
fn a_nic_is_ready_only_when_dpdk_can_have_it() {
    let machine = Machine::small();
    let missing = check(&machine, &with_nic(), "nic 0000:01:00.0");
    assert_eq!(missing.status, Status::Fail);
    assert!(missing.fix.expect("a fix").ends_with("NICs of this machine: none"));

    machine.nic("0000:01:00.0", Some("i40e"), Some("enp1s0"));
    let kernel = check(&machine, &with_nic(), "nic 0000:01:00.0");
    assert_eq!(kernel.status, Status::Fail);
    assert!(kernel.found.contains("8086:1572, bound to i40e, interface enp1s0"), "{kernel:?}");
    let fix = kernel.fix.expect("a fix");
    assert!(fix.contains("ip link set enp1s0 down") && fix.contains("driver_override"), "{fix}");

    fs::remove_file(machine.path("sys/bus/pci/devices/0000:01:00.0/driver")).expect("unbound");
    assert_eq!(machine.system().nic("0000:01:00.0").expect("still there").binding(), Binding::Unbound);

    machine.nic("0000:01:00.0", Some("vfio-pci"), None);
    assert_eq!(check(&machine, &with_nic(), "nic 0000:01:00.0").status, Status::Ok);

    machine.nic("0000:02:00.0", Some("mlx5_core"), Some("enp2s0"));
    machine.file("sys/bus/pci/devices/0000:03:00.0/class", "0x010802\n");
    let nics = machine.system().nics();
    assert_eq!(nics.len(), 2, "a disk is no NIC");
    assert_eq!(nics[1].binding(), Binding::Bifurcated);
    assert_eq!(nics[1].numa_node, None, "-1 is no node");
    assert_eq!(machine.system().nic("../../../etc"), None);
}

#[test]
fn vfio_and_iommu_matter_only_with_a_nic() {
    let machine = Machine::small();
    for name in ["vfio", "iommu", "cpu-isolation"] {
        assert_eq!(check(&machine, &Needs::default(), name).status, Status::Ok, "{name}");
    }
    assert_eq!(check(&machine, &with_nic(), "vfio").status, Status::Fail);
    assert_eq!(check(&machine, &with_nic(), "iommu").status, Status::Fail);
    let isolation = check(&machine, &with_nic(), "cpu-isolation");
    assert!(isolation.fix.expect("a fix").contains("isolcpus=1 "));

    machine.file("dev/vfio/vfio", "");
    fs::create_dir_all(machine.path("sys/bus/pci/drivers/vfio-pci")).expect("made");
    fs::create_dir_all(machine.path("sys/kernel/iommu_groups/0")).expect("made");
    machine.file("sys/devices/system/cpu/isolated", "1\n");
    for name in ["vfio", "iommu", "cpu-isolation"] {
        assert_eq!(check(&machine, &with_nic(), name).status, Status::Ok, "{name}");
    }
}

#[test]
fn processors_memory_and_tun() {
    let machine = Machine::small();
    let needs = Needs { workers: 2, ..Needs::default() };
    assert_eq!(check(&machine, &needs, "cpu-count").status, Status::Warn);
    assert_eq!(check(&machine, &Needs::default(), "cpu-count").status, Status::Ok);
    let crypto = check(&machine, &needs, "cpu-crypto");
    assert_eq!(crypto.status, Status::Warn);
    assert!(
        crypto.found.starts_with("AES-NI, PCLMULQDQ;"),
        "only one of the two processors has it: {crypto:?}"
    );
    machine.file("proc/cpuinfo", "flags : aes pclmulqdq vaes vpclmulqdq avx512f avx512bw avx512vl\n");
    let crypto = check(&machine, &needs, "cpu-crypto");
    assert_eq!(
        (crypto.status, crypto.found.as_str()),
        (Status::Ok, "AES-NI, PCLMULQDQ, VAES, VPCLMULQDQ, AVX-512")
    );

    assert_eq!(check(&machine, &needs, "memory").status, Status::Ok);
    assert_eq!(check(&machine, &Needs { memory_mib: 4096, ..needs.clone() }, "memory").status, Status::Fail);

    assert_eq!(machine.system().memory_lock(), MemoryLock::Kib(8192));
    assert_eq!(check(&machine, &needs, "memlock").status, Status::Warn);
    machine.file("proc/self/limits", "Max locked memory  unlimited  unlimited  bytes\n");
    assert_eq!(check(&machine, &needs, "memlock").status, Status::Ok);

    assert_eq!(check(&machine, &needs, "tun").status, Status::Fail);
    machine.file("dev/net/tun", "");
    assert_eq!(check(&machine, &needs, "tun").status, Status::Ok);
}

#[test]
fn this_machine_answers_and_the_answers_are_data() {
    let all = checks(&System::host(), &Needs::default());
    let text = serde_json::to_string(&all).expect("JSON");
    let back: Vec<Check> = serde_json::from_str(&text).expect("the same");
    assert_eq!(back, all);
    assert!(text.contains("\"status\":\"ok\""), "{text}");
    let mut names: Vec<&str> = all.iter().map(|check| check.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "names are unique");
}
