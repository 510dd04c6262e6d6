//! The file of a Unix socket: it is made with its permissions, taken over from a process that is gone, and removed at the
//! end.
//!
//! Between the look whether somebody listens there and the taking over, another server may have taken it over as well. So who
//! listens holds a lock on a file beside it, from before the look. The kernel ends the lock with the process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::storage::files::{LOCK, with_end};

/// The file of a socket that is listened on; dropping it removes the file, unless somebody put another one there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    // After the file is gone, which is when it is dropped.
    _lock: Option<File>,
}

impl SocketFile {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Should it stay, the next server finds that nobody listens there any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Listens at `path`. What is wrong is told in half a sentence with the cure.
pub(super) async fn bind(path: &Path, mode: u32, backlog: u32) -> Result<(SocketFile, UnixListener), String> {
    let lock = lock(path)?;
    make_way(path).await?;
    listen(path, mode, backlog, lock).map_err(|error| told(&error))
}

fn told(error: &io::Error) -> String {
    let cure = match error.kind() {
        ErrorKind::NotFound => "make its folder first, one that this server's user may write to",
        ErrorKind::PermissionDenied => "choose a folder that this server's user may write to",
        ErrorKind::InvalidInput => "choose a shorter path: one of a socket has at most 100 bytes",
        ErrorKind::AddrInUse => "another server has just started to listen there; choose another path",
        _ => "choose another path",
    };
    format!("{error}; {cure}")
}

/// Keeps other servers from listening there. Nothing where files cannot be locked: no reason not to serve. The file
/// stays: one that was removed could be locked by two.
fn lock(path: &Path) -> Result<Option<File>, String> {
    let beside = with_end(path, LOCK);
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&beside);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied if beside.exists() => {
            format!(
                "{} belongs to another user ({error}); remove it or choose another path",
                beside.display()
            )
        }
        _ => told(&error),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err("another server listens there; stop it or choose another path".to_owned())
        }
        Err(TryLockError::Error(error)) => {
            tracing::warn!(detail = %error, "files cannot be locked beside the socket: two servers could take it at once");
            Ok(None)
        }
    }
}

/// Removes the socket of a process that is gone.
async fn make_way(path: &Path) -> Result<(), String> {
    // A path that cannot be looked at cannot be listened on either, which says more about it.
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err("what lies there is no socket; choose another path, or remove it".to_owned());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| format!("the socket of a server that is gone stays there ({error}); remove it")),
        // Who has so much to do that nobody else can connect at the moment is alive.
        Err(error) if error.kind() != ErrorKind::WouldBlock => {
            Err(format!("it is not known whether another server listens there ({error}); remove the file"))
        }
        _ => Err("another server listens there; stop it or choose another path".to_owned()),
    }
}

fn listen(
    path: &Path,
    mode: u32,
    backlog: u32,
    lock: Option<File>,
) -> io::Result<(SocketFile, UnixListener)> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)?, _lock: lock };
    // Before anybody can connect, which is when it listens.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok((file, socket.listen(backlog)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_has_its_permissions_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        let bound = bind(&path, 0o640, 8).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        UnixStream::connect(&path).await.unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_somebody_listens_on_is_theirs_and_one_that_nobody_does_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(bind(&path, 0o660, 8).await.unwrap_err().contains("another server listens there"));
        drop(theirs);
        assert!(path.exists(), "a process that dies leaves it");
        let _bound = bind(&path, 0o660, 8).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn who_is_about_to_listen_there_has_the_path_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let theirs = lock(&path).unwrap();
        assert!(theirs.is_some());
        assert!(bind(&path, 0o660, 8).await.unwrap_err().contains("another server listens there"));
        drop(theirs);
        let ours = bind(&path, 0o660, 8).await.unwrap();
        fs::remove_file(&path).unwrap();
        assert!(bind(&path, 0o660, 8).await.is_err(), "for as long as it listens");
        drop(ours);
        assert!(bind(&path, 0o660, 8).await.is_ok());
    }

    #[tokio::test]
    async fn who_has_no_time_to_answer_is_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        let _busy = listen(&path, 0o660, 1, None).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            waiting.push(stream);
        }
        assert!(bind(&path, 0o660, 8).await.unwrap_err().contains("another server listens there"));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_a_socket_is_refused_with_the_cure_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "mine").unwrap();
        for (path, said) in [
            (file.clone(), "no socket"),
            (folder.path().join("nowhere/m.sock"), "make its folder"),
            (folder.path().join("x".repeat(120)), "shorter path"),
        ] {
            let problem = bind(&path, 0o660, 8).await.unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }

    #[tokio::test]
    async fn the_socket_of_another_at_the_same_path_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        let ours = bind(&path, 0o660, 8).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(ours);
        assert!(path.exists());
    }
}
