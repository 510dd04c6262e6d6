//! The file of a Unix socket: it is made with its permissions, taken over from a process that is gone, and removed at the
//! end.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// The file of a socket that is listened on; dropping it removes the file, unless somebody put another one there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
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
    make_way(path).await?;
    listen(path, mode, backlog).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::NotFound => "make its folder first, one that this server's user may write to",
            ErrorKind::PermissionDenied => "choose a folder that this server's user may write to",
            ErrorKind::InvalidInput => "choose a shorter path: one of a socket has at most 100 bytes",
            ErrorKind::AddrInUse => "another server has just started to listen there; choose another path",
            _ => "choose another path",
        };
        format!("{error}; {cure}")
    })
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

fn listen(path: &Path, mode: u32, backlog: u32) -> io::Result<(SocketFile, UnixListener)> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::of(path)?;
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
    async fn who_has_no_time_to_answer_is_alive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.sock");
        let _busy = listen(&path, 0o660, 1).unwrap();
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
