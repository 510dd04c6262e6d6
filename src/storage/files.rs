//! Files that appear whole or not at all, are their owner's alone, and replace nothing by accident.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Makes a file that only its owner can read, where there is none.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Gives a file to whom the other one belongs, or its folder where there is no such file: root restores what the
/// server's own user has to open. Nobody but root can, and nobody else has to.
pub(super) fn give_to_owner_of(file: &File, other: &Path) {
    let Some(owner) = other.metadata().or_else(|_| folder_of(other).metadata()).ok() else { return };
    let is_his = |metadata: std::fs::Metadata| (metadata.uid(), metadata.gid()) == (owner.uid(), owner.gid());
    if !file.metadata().is_ok_and(is_his) {
        let _ = fchown(file, Some(owner.uid()), Some(owner.gid()));
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path with this at its end.
pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(end);
    path.with_file_name(name)
}

/// Gives a file that was written its name, which nobody has yet.
pub(super) fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, path) {
        Ok(()) => std::fs::remove_file(draft)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
        // Some file systems have no links. The name is taken first, so that nothing is replaced there either.
        Err(_) => {
            create_private(path)?;
            std::fs::rename(draft, path)?;
        }
    }
    sync_folder_of(path)
}

/// Makes sure that what was named in a folder is so after a crash of the machine.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Removes a file; one that is not there is as good.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What SQLite keeps beside a database that is open.
pub(super) const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file on its way: gone with this value, with all that SQLite put beside it, unless it got its name.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where it is.
    pub(super) path: PathBuf,
    file: File,
}

impl Draft {
    /// Makes an empty one beside the file that it is to be. `name` is its own.
    pub(super) fn beside(path: &Path, name: &str) -> io::Result<Self> {
        let path = with_end(path, &format!(".{name}.draft"));
        let file = create_private(&path)?;
        Ok(Self { path, file })
    }

    /// The file that was made, whatever is at its path now: others may write to that folder.
    pub(super) fn file(&self) -> io::Result<&File> {
        let (made, there) = (self.file.metadata()?, self.path.symlink_metadata()?);
        if (made.dev(), made.ino()) != (there.dev(), there.ino()) {
            return Err(io::Error::other("somebody put another file there; try again"));
        }
        Ok(&self.file)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let sides = SIDES.iter().chain(&[".lock"]).map(|end| with_end(&self.path, end));
        for path in sides.chain([self.path.clone()]) {
            let _ = remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let draft = Draft::beside(&path, "1").unwrap();
        assert_eq!(draft.path.metadata().unwrap().mode() & 0o777, 0o600);
        publish(&draft.path, &path).unwrap();
        drop(draft);
        assert!(path.exists());
        let draft = Draft::beside(&path, "2").unwrap();
        assert_eq!(publish(&draft.path, &path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let drafted = draft.path.clone();
        std::fs::write(with_end(&drafted, "-wal"), "x").unwrap();
        drop(draft);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{}", drafted.display());
    }

    #[test]
    fn a_file_that_was_put_in_a_drafts_place_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let draft = Draft::beside(&folder.path().join("a"), "1").unwrap();
        assert!(draft.file().is_ok());
        let elsewhere = folder.path().join("elsewhere");
        std::fs::rename(&draft.path, &elsewhere).unwrap();
        assert!(draft.file().is_err(), "nothing is there");
        std::os::unix::fs::symlink(&elsewhere, &draft.path).unwrap();
        assert!(draft.file().is_err(), "a link, even to itself");
        std::fs::remove_file(&draft.path).unwrap();
        std::fs::write(&draft.path, "another").unwrap();
        assert!(draft.file().is_err(), "another file");
    }
}
