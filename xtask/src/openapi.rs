//! The API driven from its OpenAPI document by schemathesis: over TLS, with a token of each role, by a gateway that has a
//! store and no data plane.

use crate::checks::Tally;
use crate::run::{command, must, output, root, say, target_dir};
use crate::{build, deps};
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What tells schemathesis about this API.
const FOLDER: &str = "tests/openapi";
/// Not driven: the one ends the daemon, the other's answer has no end.
const LEFT_OUT: [&str; 2] = ["/v1/shutdown", "/v1/events"];
/// For so long with each role, by default.
pub(crate) const SECONDS: u32 = 15;
/// Until the daemon listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Installs what is missing, builds, and drives for so many seconds with each role.
pub(crate) fn run(seconds: u32, programs: Option<PathBuf>) -> Result<bool> {
    deps::ensure(&[deps::BUILD, deps::TEST])?;
    let programs = programs.map_or_else(build::release, Ok)?;
    Ok(drive(seconds, &programs)?.failed == 0)
}

/// Each role is one test.
pub(crate) fn drive(seconds: u32, programs: &Path) -> Result<Tally> {
    let tool = schemathesis()?;
    let gateway = Gateway::start(programs)?;
    let drive = |role| gateway.drive(&tool, role, seconds);
    // What an admin does changes what the others see, so they come first, beside each other.
    let mut tally = Tally::default();
    std::thread::scope(|scope| -> Result<()> {
        let others = ["viewer", "operator"].map(|role| scope.spawn(move || drive(role)));
        for other in others {
            tally.add(other.join().unwrap_or_else(|_| bail!("the thread of a role panicked"))?);
        }
        Ok(())
    })?;
    tally.add(drive("admin")?);
    Ok(tally)
}

/// The program, in an environment of its own with the versions that are written down.
fn schemathesis() -> Result<PathBuf> {
    let folder = target_dir().join("schemathesis");
    let (wanted, there) = (root().join(FOLDER).join("requirements.txt"), folder.join("requirements.txt"));
    let versions = fs::read_to_string(&wanted).with_context(|| wanted.display().to_string())?;
    if fs::read_to_string(&there).is_ok_and(|there| there == versions) {
        return Ok(folder.join("bin/schemathesis"));
    }
    say("installing schemathesis with pip");
    must(command("python3", &["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"])
        .arg(&wanted);
    must(&mut pip)?;
    fs::write(there, versions)?;
    Ok(folder.join("bin/schemathesis"))
}

/// A control plane on a folder of its own, both gone when it is dropped.
struct Gateway {
    folder: PathBuf,
    url: String,
    client: PathBuf,
    daemon: Child,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        drop(fs::remove_dir_all(&self.folder));
        drop(fs::remove_dir_all(&self.folder));
    }
}

impl Gateway {
    fn start(programs: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("esplanade-openapi-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let file = folder.join("gateway.toml");
        fs::write(&file, document(&folder, port))?;
        // It has a key in it.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        let mut daemon = Command::new(programs.join("esplanade-controlplane"));
        daemon.arg("--state").arg(folder.join("state")).arg("--config").arg(&file);
        let daemon = daemon.stderr(fs::File::create(folder.join("log"))?).stdin(Stdio::null()).spawn();
        let daemon = daemon.context("esplanade-controlplane")?;
        let url = format!("https://127.0.0.1:{port}");
        let gateway = Self { folder, url, client: programs.join("esplanade"), daemon };
        let end = Instant::now() + PATIENCE;
        let ca = loop {
            match gateway.ask(&["show", "ca"]) {
                Ok(ca) => break ca,
                Err(error) if Instant::now() > end => return Err(error.context(gateway.log())),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        fs::write(gateway.folder.join("ca.pem"), ca)?;
        Ok(gateway)
    }

    /// What the command says of it.
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut client = Command::new(&self.client);
        client.arg("--socket").arg(self.folder.join("control.sock")).args(arguments);
        output(client.env_remove("ESPLANADE_URL"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Drives it with a token of this role.
    fn drive(&self, tool: &Path, role: &str, seconds: u32) -> Result<Tally> {
        let made: serde_json::Value =
            serde_json::from_str(&self.ask(&["token", "create", role, "--role", role, "--json"])?)?;
        let token = made["secret"].as_str().context("a token without a secret")?;
        let (here, known) = (self.folder.join(role), root().join(FOLDER));
        fs::create_dir(&here)?;
        let mut drive = Command::new(tool);
        drive.arg("--no-color").arg("--config-file").arg(known.join("schemathesis.toml"));
        drive.args(["run", "--url", &self.url, "--tls-verify"]).arg(self.folder.join("ca.pem"));
        drive.args(["--phases", "coverage,fuzzing", "--checks", "all", "--seed", "1", "--no-shrink"]);
        // A connection that was idle for long may be gone just when it is used again.
        drive.args(["--continue-on-failure", "--request-retries", "2", "--rate-limit", "90/s"]);
        drive.args(["--max-time", &seconds.to_string()]);
        drive.args(LEFT_OUT.iter().flat_map(|path| ["--exclude-path", path]));
        drive.arg(root().join("docs/openapi.json"));
        // It leaves notes where it stands.
        drive.current_dir(&here).env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", known);
        drive.env("PYTHONDONTWRITEBYTECODE", "1").env("DOCUMENT", self.folder.join("gateway.toml"));
        let done = drive.env("ROLE", role).env("TOKEN", token).output().context("schemathesis")?;
        let said = String::from_utf8_lossy(&done.stdout);
        let cases = said.lines().find(|line| line.contains(" generated,")).unwrap_or("no cases");
        say(&format!("as {role}: {}", cases.trim()));
        let passed = done.status.success();
        if !passed {
            eprintln!("{said}{}", String::from_utf8_lossy(&done.stderr));
            eprintln!("the control plane's log:\n{}", self.log());
        }
        Ok(Tally { passed: u32::from(passed).into(), failed: u32::from(!passed).into() })
    }
}

/// A gateway with one tunnel; nothing of it is real.
fn document(folder: &Path, port: u16) -> String {
    let [control, dataplane] = ["control.sock", "dataplane.sock"].map(|name| folder.join(name));
    format!(
        r#"
[control]
socket = {control:?}
log = "warn"
[api]
listen = "127.0.0.1:{port}"
[dataplane]
socket = {dataplane:?}
[[interface]]
name = "wan"
port = "p0"
role = "outside"
addresses = ["192.0.2.1/24"]
[[interface]]
name = "lan"
port = "p1"
role = "inside"
addresses = ["10.1.0.1/24"]
[vpn-gateway]
name = "gw"
addresses = ["192.0.2.1"]
[[customer-gateway]]
name = "peer"
ip = "192.0.2.9"
[[connection]]
name = "site"
routing-mode = "flows"
local-networks = ["10.1.0.0/24"]
remote-networks = ["10.2.0.0/24"]
profile = "modern"
[[connection.tunnel]]
customer-gateway = "peer"
psk = "sesame"
"#
    )
}
