//! The data folder, and the secrets in it that are files.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keyward_model::Plaintext;

/// The file with the node's local token.
const ADMIN_TOKEN: &str = "admin-token";

/// What is in the folder of a node that has run. (A mount point or an operator may have put other things there.)
const TRACES: [&str; 4] = ["keyward.db", "lock", "replay", ADMIN_TOKEN];

/// A node's data folder.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The folder, made (mode 0700) if it is not there. Says whether a node has run on it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, bool)> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let used = TRACES.iter().any(|name| path.join(name).exists());
        Ok((Self(path.to_owned()), used))
    }

    /// A folder that is only looked into.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where this file of the folder is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.file(ADMIN_TOKEN)
    }

    /// The local token, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or others may read it too.
    pub(crate) fn admin_token(&self) -> io::Result<Option<Plaintext>> {
        let mut file = match OpenOptions::new().read(true).open(self.admin_token_file()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            let text = format!(
                "`{}` may be read by others (mode {:04o}); run `chmod 600` on it",
                self.admin_token_file().display(),
                mode & 0o7777
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(Some(Plaintext::new(text.trim_end())))
    }

    /// Writes the local token, mode 0600, as a whole or not at all.
    pub(crate) fn write_admin_token(&self, token: &Plaintext) -> io::Result<()> {
        let partial = self.file("admin-token.partial");
        let _ = fs::remove_file(&partial);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        writeln!(file, "{}", token.expose_secret())?;
        file.sync_all()?;
        fs::rename(&partial, self.admin_token_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (data, used) = DataDir::open(&folder.path().join("data")).unwrap();
        assert!(!used);
        fs::create_dir(data.file("lost+found")).unwrap();
        assert!(!DataDir::open(data.path()).unwrap().1, "that is not ours");
        assert!(data.admin_token().unwrap().is_none());
        data.write_admin_token(&Plaintext::new("kw_admin_x")).unwrap();
        let mode = fs::metadata(data.admin_token_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(data.admin_token().unwrap().unwrap().expose_secret(), "kw_admin_x");
        assert_eq!(fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(DataDir::open(data.path()).unwrap().1, "a node has run here");
    }

    #[test]
    fn a_token_that_others_may_read_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::at(folder.path());
        fs::write(data.admin_token_file(), "kw_admin_x\n").unwrap();
        fs::set_permissions(data.admin_token_file(), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(data.admin_token().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
