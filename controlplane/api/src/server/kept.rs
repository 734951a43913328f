//! Small files of the state folder, each written whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The mode of a file with secrets.
pub(super) const PRIVATE: u32 = 0o600;

/// The text of a file that only its owner may read; `None` where there is no file.
pub(super) fn read_private(file: &Path) -> io::Result<Option<String>> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if opened.metadata()?.permissions().mode() & 0o077 != 0 {
        let why = format!("{} is open to others: chmod 600 it", file.display());
        return Err(io::Error::other(why));
    }
    io::read_to_string(opened).map(Some)
}

/// Puts `bytes` in the place of what the file had.
pub(super) fn write(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut opened = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    // Whatever the umask.
    opened.set_permissions(Permissions::from_mode(mode))?;
    opened.write_all(bytes)?;
    opened.sync_all()?;
    std::fs::rename(&new, file)?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
