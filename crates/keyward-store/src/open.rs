//! Opening a store, or making one.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyward_model::Plaintext;
use sqlx::{AnyConnection, Executor, Row};
use uuid::Uuid;

use crate::copy::Found;
use crate::lock::FolderLock;
use crate::master_key::MasterKey;
use crate::place::Place;
use crate::rows::accounts;
use crate::seal::{SealError, Sealer};
use crate::starts::{PATIENCE, Starts, is_refusal};
use crate::{Store, StoreError};

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The data folder; made, for this user alone, if it is not there.
    pub data_dir: PathBuf,
    /// The address of a PostgreSQL database (`postgres://…`); absent: `keyward.db` in the data folder.
    pub url: Option<Plaintext>,
    /// The master key file, made on first start; absent: `master.key` in the data folder.
    pub master_key_file: Option<PathBuf>,
}

impl StoreOptions {
    /// Where the master key is.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| self.data_dir.join("master.key"))
    }
}

impl Store {
    /// Opens the store, or makes it where there is none.
    ///
    /// # Errors
    /// Another process has the folder, the master key is missing or another store's, a newer version made the store, or it cannot
    /// be read. Nothing is changed then.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        make_folder(&options.data_dir)?;
        let lock = FolderLock::take(&options.data_dir)?;
        let place = Place::at(options.url.as_ref(), &options.data_dir)?;
        let (data_dir, key_file) = (&options.data_dir, &options.key_file());
        let starts = Starts::at(data_dir);
        if starts.failed() >= PATIENCE {
            let failed = starts.failed();
            tracing::error!(failed, "the last starts failed: this node tries to start from its local copy");
            return Self::open_last_good(place, data_dir, key_file, lock).await;
        }
        starts.begin();
        let opened = Self::open_at(place, data_dir, key_file, lock).await;
        if opened.as_ref().is_err_and(is_refusal) {
            starts.refused();
        }
        opened
    }

    pub(crate) async fn open_at(
        place: Place,
        data_dir: &Path,
        key_file: &Path,
        lock: FolderLock,
    ) -> Result<Self, StoreError> {
        let mut writer = match place.connect_alone().await {
            Ok(writer) => writer,
            Err(StoreError::Unavailable(away)) if place.is_shared() => {
                return Self::open_from_copy(place, data_dir, key_file, lock, away).await;
            }
            Err(error) => return Err(error),
        };
        let identity = read_identity(&place, &mut writer).await?;
        let sealer = match &identity {
            Some(identity) => unlock(key_file, identity)?,
            None => first_key(key_file)?,
        };
        place.prepare(&mut writer).await?;
        place.migrate(&mut writer).await?;
        let id = match identity {
            Some(identity) => identity.store,
            None => write_identity(&mut writer, &sealer).await?,
        };
        for row in sqlx::query(accounts::ALL_KEYS).fetch_all(&mut writer).await? {
            // Loading names the accounts whose key does not open; their other objects are kept.
            let _ = accounts::learn_key(&row, &sealer);
        }
        let writer = place.connect_writer(writer, id).await?;
        let readers = place.readers(id);
        Ok(Self::new(id, Arc::new(sealer), Some(writer), readers, place, data_dir, lock))
    }

    /// The store whose local copy is here, its database being away.
    async fn open_from_copy(
        place: Place,
        data_dir: &Path,
        key_file: &Path,
        lock: FolderLock,
        away: String,
    ) -> Result<Self, StoreError> {
        let without = |copy: String| StoreError::Away { away: away.clone(), copy };
        if !key_file.exists() {
            return Err(without(StoreError::MasterKeyMissing(key_file.to_owned()).to_string()));
        }
        let sealer = Arc::new(sealer(key_file, MasterKey::read(key_file)?)?);
        let found = Found::at(data_dir, &sealer).map_err(|error| without(error.to_string()))?;
        let found = found.ok_or_else(|| without("there is none".to_owned()))?;
        tracing::warn!(%away, revision = found.mark.revision, "the store is away: this node starts from its local copy");
        let readers = place.readers(found.store);
        let mut store = Self::new(found.store, sealer, None, readers, place, data_dir, lock);
        store.from_copy = Some(found.mark);
        Ok(store)
    }

    /// The store as this node's local copy has it, because loading it has failed again and again. Where the store itself can be
    /// written, it is: so it can be mended.
    async fn open_last_good(
        place: Place,
        data_dir: &Path,
        key_file: &Path,
        lock: FolderLock,
    ) -> Result<Self, StoreError> {
        let failed = |copy: String| {
            let away = "loading it has failed in the last starts".to_owned();
            StoreError::Away { away, copy }
        };
        let sealer = Arc::new(sealer(key_file, MasterKey::read(key_file)?)?);
        let found = Found::at(data_dir, &sealer).map_err(|error| failed(error.to_string()))?;
        let Some(found) = found else {
            // There is nothing else to start from.
            tracing::error!("there is no local copy to start from: the store is tried again");
            return Self::open_at(place, data_dir, key_file, lock).await;
        };
        let writer = match writer_of(&place, found.store).await {
            Ok(writer) => writer,
            Err(error) => {
                tracing::error!(%error, "the store itself cannot be used: it takes no changes");
                None
            }
        };
        let readers = place.readers(found.store);
        let unusable = writer.is_none() && !place.is_shared();
        let mut store = Self::new(found.store, sealer, writer, readers, place, data_dir, lock);
        if unusable {
            store.refuse_writes("it cannot be opened, and this node runs on its local copy");
        }
        store.set_last_good(found.mark.revision);
        store.from_copy = Some(found.mark);
        Ok(store)
    }
}

/// A connection that writes to this store in a file. (On PostgreSQL it is made with the first write.)
async fn writer_of(place: &Place, store: Uuid) -> Result<Option<AnyConnection>, StoreError> {
    if place.is_shared() {
        return Ok(None);
    }
    let mut writer = place.connect_alone().await?;
    let identity = read_identity(place, &mut writer).await?;
    if identity.is_none_or(|identity| identity.store != store) {
        return Err(StoreError::AnotherStore);
    }
    place.prepare(&mut writer).await?;
    place.migrate(&mut writer).await?;
    Ok(Some(writer))
}

/// What a store says about itself, kept in `meta`.
struct Identity {
    store: Uuid,
    key_check: Vec<u8>,
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| StoreError::Folder { path: folder.to_owned(), why: error.to_string() })
}

/// `None` where no store was made here yet.
async fn read_identity(
    place: &Place,
    connection: &mut AnyConnection,
) -> Result<Option<Identity>, StoreError> {
    if sqlx::query(place.has_meta()).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let mut store = None;
    let mut key_check = None;
    for row in sqlx::query("SELECT name, value FROM meta").fetch_all(&mut *connection).await? {
        let (name, value): (String, String) = (row.try_get("name")?, row.try_get("value")?);
        match name.as_str() {
            "store" => store = Uuid::try_parse(&value).ok(),
            "key_check" => key_check = BASE64.decode(&value).ok(),
            _ => {}
        }
    }
    // Both are written in one transaction, so one alone is damage, which no key can be right for.
    match (store, key_check) {
        (None, None) => Ok(None),
        (store, key_check) => {
            Ok(Some(Identity { store: store.unwrap_or_default(), key_check: key_check.unwrap_or_default() }))
        }
    }
}

fn unlock(key_file: &Path, identity: &Identity) -> Result<Sealer, StoreError> {
    let sealer = sealer(key_file, MasterKey::read(key_file)?)?;
    if sealer.holds(&identity.key_check, identity.store) {
        Ok(sealer)
    } else {
        Err(StoreError::MasterKeyWrong(key_file.to_owned()))
    }
}

/// For a new store: the key that is given, else a new one.
fn first_key(key_file: &Path) -> Result<Sealer, StoreError> {
    let master = match MasterKey::read(key_file) {
        Err(StoreError::MasterKeyMissing(_)) => MasterKey::create(key_file)?,
        other => other?,
    };
    sealer(key_file, master)
}

fn sealer(key_file: &Path, master: MasterKey) -> Result<Sealer, StoreError> {
    Sealer::new(master)
        .map_err(|error| StoreError::MasterKeyFile { path: key_file.to_owned(), why: error.to_string() })
}

pub(crate) fn unavailable(error: SealError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// An id that no store has.
pub(crate) fn new_id() -> Result<Uuid, StoreError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| unavailable(SealError::Random))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Makes this database a store: from here on it has an id, and belongs to its master key.
async fn write_identity(writer: &mut AnyConnection, sealer: &Sealer) -> Result<Uuid, StoreError> {
    let store = new_id()?;
    let check = BASE64.encode(sealer.key_check(store).map_err(unavailable)?);
    writer.execute("BEGIN").await?;
    for (name, value) in [("store", store.to_string()), ("key_check", check)] {
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value)
            .execute(&mut *writer)
            .await?;
    }
    sqlx::query("INSERT INTO head (only_row, revision, audit_seq, audit_hash) VALUES (1, 0, 0, $1)")
        .bind(vec![0_u8; 32])
        .execute(&mut *writer)
        .await?;
    writer.execute("COMMIT").await?;
    Ok(store)
}
