//! Files that appear whole or not at all, are their owner's alone, and replace nothing by accident.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
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
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder that a file is to be in. What we make is its owner's alone: passwords' hashes and keys are in there.
pub(crate) fn make_folder_of(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder_of(path))
}

/// The path with this at its end.
pub(crate) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(end);
    path.with_file_name(name)
}

/// Where a path leads: SQLite keeps its own files beside what a link leads to, and so do we.
pub(super) fn target_of(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // More than systems follow. One that still is a link then leads nowhere, and cannot be opened.
    for _ in 0..64 {
        match path.read_link() {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => break,
        }
    }
    path
}

/// Gives a file another name, which nothing has yet. It keeps the one that it has, where there are links.
pub(super) fn name_also(path: &Path, name: &Path) -> io::Result<()> {
    match std::fs::hard_link(path, name) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            // Some file systems have no links. The name is taken first, so that nothing is replaced there either.
            create_private(name)?;
            std::fs::rename(path, name)
        }
        linked => linked,
    }
}

/// Gives a file that was written its name, which nobody has yet.
pub(super) fn publish(draft: &Path, path: &Path) -> io::Result<()> {
    name_also(draft, path)?;
    remove(draft)?;
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

/// What SQLite keeps beside a database that is open: a log of one kind or the other, and an index of the former.
pub(super) const LOGS: [&str; 2] = ["-wal", "-journal"];
pub(super) const SIDES: [&str; 3] = [LOGS[0], "-shm", LOGS[1]];
/// What we keep beside a file: the one that is locked for it.
pub(crate) const LOCK: &str = ".lock";

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
        let sides = SIDES.iter().chain([&LOCK]).map(|end| with_end(&self.path, end));
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
    fn a_link_leads_to_its_end_also_where_nothing_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, end] = ["one", "other", "in/end"].map(|name| folder.path().join(name));
        assert_eq!(target_of(&end), end);
        std::os::unix::fs::symlink("other", &one).unwrap();
        std::os::unix::fs::symlink("in/end", &other).unwrap();
        assert_eq!(target_of(&one), end);
        std::fs::remove_file(&other).unwrap();
        std::os::unix::fs::symlink(&one, &other).unwrap();
        assert!(std::fs::read(target_of(&one)).is_err(), "in a circle");
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
