//! Where sign-ins are kept: in the platform's keyring, or in files that only their owner can read. And the lock that
//! makes all bridges to one server take turns, so that one refreshes or signs in for all.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::record::Record;
use super::stdio::tell;
use crate::oauth::secret::SecretHash;
use crate::random::Random;

/// The name under which the keyring lists our entries.
const SERVICE: &str = "mandate connect";
/// How often it is looked whether the lock has become free.
const LOOK: Duration = Duration::from_millis(100);

/// Which store is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Where the sign-in is already, else the keyring where there is one, else the file.
    Auto,
    /// The keyring or nothing.
    Keyring,
    /// The file.
    File,
}

/// Why a sign-in cannot be read or kept: one sentence with the cure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct StoreError(String);

/// The place of one sign-in.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Of the endpoint and the client, for people who look into their keyring.
    name: String,
    keeps: Keeps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    Keyring,
    File,
}

/// Where the sign-in was kept last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Before {
    in_keyring: bool,
    in_file: bool,
}

/// Where to keep it. A keyring may be locked, refused by its person or away for a moment: then what is in it stays the
/// one sign-in. Two processes that choose differently would have two, and end each other's.
fn choose(wanted: Wanted, before: Before, keyring: Result<(), StoreError>) -> Result<Keeps, StoreError> {
    match (wanted, keyring) {
        (Wanted::File, _) => Ok(Keeps::File),
        (Wanted::Auto, Ok(())) if before.in_file && !before.in_keyring => Ok(Keeps::File),
        (_, Ok(())) => Ok(Keeps::Keyring),
        (Wanted::Auto, Err(error)) if before.in_keyring => Err(StoreError(format!(
            "the tokens are in the platform's keyring, which cannot be used now ({error}); unlock it, or sign in \
             anew with --token-store file"
        ))),
        (Wanted::Auto, Err(_)) => Ok(Keeps::File),
        (Wanted::Keyring, Err(error)) => Err(StoreError(format!(
            "the platform's keyring cannot be used ({error}); start it, or use --token-store file"
        ))),
    }
}

/// Held by the one whose turn it is. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Turn(File);

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Store {
    /// Finds the place of the sign-in of this client at this endpoint, below `data`.
    pub(super) async fn open(data: &Path, wanted: Wanted, name: String) -> Result<Self, StoreError> {
        let folder = data.join("mandate").join("connect");
        make_private(&folder)?;
        let mut store = Self { folder, name, keeps: Keeps::File };
        let before = Before { in_keyring: store.mark().exists(), in_file: store.file().exists() };
        let keyring = if wanted == Wanted::File { Ok(()) } else { store.try_keyring().await };
        if let (Err(error), Wanted::Auto) = (&keyring, wanted)
            && before == Before::default()
        {
            let place = store.file();
            tell(&format!("The keyring cannot be used ({error}): tokens are kept in {}", place.display()));
        }
        store.keeps = choose(wanted, before, keyring)?;
        Ok(store)
    }

    /// Where it keeps things, in words.
    pub(super) fn describe(&self) -> String {
        match self.keeps {
            Keeps::Keyring => "the platform's keyring".to_owned(),
            Keeps::File => self.file().display().to_string(),
        }
    }

    /// What is kept. What cannot be understood counts as nothing: it is from another version.
    pub(super) async fn load(&self) -> Result<Option<Record>, StoreError> {
        let text = match self.keeps {
            Keeps::File => read_private(&self.file())?,
            Keeps::Keyring => {
                let name = self.name.clone();
                on_thread(move || match entry(&name)?.get_password() {
                    Ok(text) => Ok(Some(text)),
                    Err(keyring::Error::NoEntry) => Ok(None),
                    Err(error) => Err(from_keyring(&error)),
                })
                .await?
            }
        };
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Keeps a sign-in in place of the one before.
    pub(super) async fn save(&self, record: &Record, random: &Random) -> Result<(), StoreError> {
        let text = serde_json::to_string(record).map_err(|error| StoreError(error.to_string()))?;
        match self.keeps {
            Keeps::File => write_private(&self.file(), &random.id(), text.as_bytes()),
            Keeps::Keyring => {
                let name = self.name.clone();
                on_thread(move || entry(&name)?.set_password(&text).map_err(|error| from_keyring(&error)))
                    .await?;
                write_private(&self.mark(), &random.id(), b"")
            }
        }
    }

    /// Forgets it.
    pub(super) async fn delete(&self) -> Result<(), StoreError> {
        match self.keeps {
            Keeps::File => remove(&self.file()),
            Keeps::Keyring => {
                let name = self.name.clone();
                on_thread(move || match entry(&name)?.delete_credential() {
                    Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
                    Err(error) => Err(from_keyring(&error)),
                })
                .await?;
                remove(&self.mark())
            }
        }
    }

    /// Waits for our turn among all processes that hold this sign-in.
    pub(super) async fn turn(&self) -> Result<Turn, StoreError> {
        loop {
            match self.try_turn()? {
                Some(turn) => return Ok(turn),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Takes the turn, unless another process has it.
    pub(super) fn try_turn(&self) -> Result<Option<Turn>, StoreError> {
        let path = self.folder.join(format!("{}.lock", self.hash()));
        let wrong = |error: std::io::Error| StoreError(format!("{}: {error}", path.display()));
        let file = private().create(true).truncate(false).open(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(wrong(error)),
        }
    }

    async fn try_keyring(&self) -> Result<(), StoreError> {
        let name = self.name.clone();
        on_thread(move || match entry(&name)?.get_password() {
            Ok(_) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(from_keyring(&error)),
        })
        .await
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.hash()))
    }

    /// Stands where the tokens are in the keyring.
    fn mark(&self) -> PathBuf {
        self.folder.join(format!("{}.keyring", self.hash()))
    }

    fn hash(&self) -> String {
        SecretHash::of(&self.name).as_str().to_owned()
    }
}

fn entry(name: &str) -> Result<keyring::Entry, StoreError> {
    if let Err(error) = keyring::Entry::store_status() {
        return Err(from_keyring(error));
    }
    keyring::Entry::new(SERVICE, name).map_err(|error| from_keyring(&error))
}

/// Some variants carry the entry itself, which is not to be shown.
fn from_keyring(error: &keyring::Error) -> StoreError {
    StoreError(match error {
        keyring::Error::BadEncoding(_) => "the entry is not text".to_owned(),
        other => format!("keyring: {other}"),
    })
}

/// The keyring may ask its person something, for as long as it takes; and it has a runtime of its own. A thread of
/// ours neither blocks another task nor the end of the program.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let _ = sender.send(work());
    });
    receiver.await.unwrap_or_else(|_| Err(StoreError("the keyring broke off".to_owned())))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn make_private(folder: &Path) -> Result<(), StoreError> {
    let wrong = |error: std::io::Error| StoreError(format!("{}: {error}", folder.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    check_private(folder, &fs::metadata(folder).map_err(wrong)?, "700")
}

fn check_private(path: &Path, found: &fs::Metadata, wanted: &str) -> Result<(), StoreError> {
    let others = found.permissions().mode() & 0o077;
    if others == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(StoreError(format!("{path} is open to other users; close it with: chmod {wanted} '{path}'")))
}

fn read_private(path: &Path) -> Result<Option<String>, StoreError> {
    let wrong = |error: std::io::Error| StoreError(format!("{}: {error}", path.display()));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    check_private(path, &file.metadata().map_err(wrong)?, "600")?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).map_err(wrong)?;
    Ok(Some(text))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Whoever reads meanwhile sees the old text or the new one, whole.
fn write_private(path: &Path, mark: &str, text: &[u8]) -> Result<(), StoreError> {
    let beside = path.with_extension(format!("{mark}.tmp"));
    let written = || -> std::io::Result<()> {
        let mut file = private().create_new(true).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|error| {
        let _ = fs::remove_file(&beside);
        StoreError(format!("{}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::record::{AuthMethod, Client, Secret};

    fn record(token: &str) -> Record {
        Record {
            url: "https://t.example/mcp".into(),
            issuer: "https://t.example".into(),
            resource: "https://t.example/mcp".into(),
            client: Client {
                client_id: "c".into(),
                secret: None,
                auth_method: AuthMethod::None,
                registered: None,
            },
            token_endpoint: "https://t.example/token".parse().unwrap(),
            revocation_endpoint: None,
            access_token: Secret::new(token),
            refresh_token: None,
            scope: None,
            expires_at: None,
            refresh_at: None,
            superseded: Vec::new(),
        }
    }

    async fn open(data: &Path) -> Result<Store, StoreError> {
        Store::open(data, Wanted::File, "https://t.example/mcp dynamic".into()).await
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn what_is_kept_is_replaced_whole_and_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path()).await.unwrap();
        assert!(store.load().await.unwrap().is_none());
        for token in ["one", "two"] {
            store.save(&record(token), &Random::system()).await.unwrap();
            assert_eq!(store.load().await.unwrap().unwrap().access_token.reveal(), token);
        }
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 1);
        store.delete().await.unwrap();
        store.delete().await.unwrap();
        assert!(store.load().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn only_the_owner_can_read_it_or_it_is_not_read() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path()).await.unwrap();
        store.save(&record("an-access-token"), &Random::system()).await.unwrap();
        assert_eq!((mode(&store.folder), mode(&store.file())), (0o700, 0o600));
        fs::set_permissions(store.file(), fs::Permissions::from_mode(0o640)).unwrap();
        let refused = store.load().await.unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains("an-access-token"), "{refused}");
        fs::set_permissions(&store.folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open(data.path()).await.unwrap_err().to_string().contains("chmod 700"));
    }

    #[test]
    fn where_a_sign_in_is_kept_it_stays() {
        let away = || Err(StoreError("locked".to_owned()));
        let before = |in_keyring, in_file| Before { in_keyring, in_file };
        for (wanted, before, keyring, expected) in [
            (Wanted::Auto, before(false, false), Ok(()), Some(Keeps::Keyring)),
            (Wanted::Auto, before(false, false), away(), Some(Keeps::File)),
            (Wanted::Auto, before(true, false), away(), None),
            (Wanted::Auto, before(true, true), away(), None),
            (Wanted::Auto, before(true, true), Ok(()), Some(Keeps::Keyring)),
            (Wanted::Auto, before(false, true), Ok(()), Some(Keeps::File)),
            (Wanted::Auto, before(false, true), away(), Some(Keeps::File)),
            (Wanted::Keyring, before(false, true), Ok(()), Some(Keeps::Keyring)),
            (Wanted::Keyring, before(false, true), away(), None),
            (Wanted::File, before(true, false), Ok(()), Some(Keeps::File)),
        ] {
            let said = format!("{wanted:?} {before:?} {keyring:?}");
            assert_eq!(choose(wanted, before, keyring).ok(), expected, "{said}");
        }
    }

    #[tokio::test]
    async fn one_turn_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let (one, two) = (open(data.path()).await.unwrap(), open(data.path()).await.unwrap());
        let turn = one.turn().await.unwrap();
        let waiting = two.turn();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(turn);
        waiting.await.unwrap();
    }
}
