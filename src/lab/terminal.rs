//! A pseudo-terminal of its own size, with a program on it: what a person sees, and the keys.

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// In which a screen is drawn anew, most often.
const LOOK: Duration = Duration::from_secs(2);
/// For anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A terminal of 24 lines. The program ends with it.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    slave: OwnedFd,
    before: Termios,
    program: Child,
    /// What was written to it and not looked at.
    seen: String,
    /// The beginning of a character.
    partial: Vec<u8>,
}

impl Terminal {
    /// Starts a program on it: `command` has its name, arguments and environment.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(columns: u16, command: &Command) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_string()?;
        let slave = File::options().read(true).write(true).open(name)?;
        tcsetwinsize(&slave, size(columns))?;
        let before = tcgetattr(&slave)?;
        // Its session's terminal is this one, not that of whoever runs it.
        let mut program = Command::new("setsid");
        program.arg("--ctty").arg(command.get_program()).args(command.get_args());
        program.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        program.env("TERM", "xterm-256color").stdin(slave.try_clone()?).stdout(slave.try_clone()?);
        let program = program.stderr(slave.try_clone()?).spawn().context("setsid")?;
        let (master, slave, seen, partial) = (master.into(), slave.into(), String::new(), Vec::new());
        Ok(Self { master, slave, before, program, seen, partial })
    }

    /// The program's process ID, or rather that of the session's first.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Waits until all of this is on the screen, which is drawn anew whenever its width changes.
    ///
    /// # Errors
    /// After 20 s, with what is there instead.
    pub fn draws(&mut self, wanted: &[&str]) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        for columns in (100..).take_while(|_| Instant::now() < end) {
            tcsetwinsize(&self.slave, size(columns))?;
            self.seen.clear();
            let look = Instant::now() + LOOK;
            while !wanted.iter().all(|text| self.seen.contains(text)) && Instant::now() < look {
                self.read(Duration::from_millis(20))?;
            }
            if wanted.iter().all(|text| self.seen.contains(text)) {
                return Ok(());
            }
        }
        bail!("no {wanted:?} in {:?}", self.seen)
    }

    /// Waits until `wanted` is written, and forgets everything up to it.
    ///
    /// # Errors
    /// After 20 s, with what is there instead.
    pub fn writes(&mut self, wanted: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some((_, rest)) = self.seen.split_once(wanted) {
                self.seen = rest.to_owned();
                return Ok(());
            }
            self.read(Duration::from_millis(100))?;
        }
        bail!("no {wanted:?} in {:?}", self.seen)
    }

    /// Presses keys.
    ///
    /// # Errors
    /// What the system says.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Waits for the program's end; gives its exit status and what it wrote since the last [`writes`](Self::writes).
    ///
    /// # Errors
    /// After 20 s, with what is there instead.
    pub fn finish(&mut self) -> Result<(Option<i32>, String)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let is_read = self.read(Duration::from_millis(20))?;
            match self.program.try_wait()? {
                Some(status) if !is_read => return Ok((status.code(), std::mem::take(&mut self.seen))),
                _ if Instant::now() > end => bail!("it does not end: {:?}", self.seen),
                _ => {}
            }
        }
    }

    /// Whether the terminal works as it did before the program came.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_as_before(&self) -> Result<bool> {
        let now = tcgetattr(self.slave.as_fd())?;
        let flags = |t: &Termios| (t.local_modes, t.input_modes, t.output_modes, t.control_modes);
        Ok(flags(&now) == flags(&self.before))
    }

    /// Reads what is written within `patience`; false if nothing is.
    fn read(&mut self, patience: Duration) -> Result<bool> {
        let ready = {
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::try_from(patience)?))?;
            fds[0].revents().contains(PollFlags::IN)
        };
        let mut bytes = [0; 4096];
        // An error says that nobody has the other end any more.
        let len = if ready { self.master.read(&mut bytes).unwrap_or(0) } else { 0 };
        self.partial.extend_from_slice(&bytes[..len]);
        let whole = std::str::from_utf8(&self.partial).map_or_else(|error| error.valid_up_to(), str::len);
        self.seen.extend(self.partial.drain(..whole).as_slice().utf8_chunks().map(|chunk| chunk.valid()));
        Ok(len > 0)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
