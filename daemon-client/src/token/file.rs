//! The token file. Blocking.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::token::bearer::{Token, TokenError};

/// No token is longer, and a path that names something else is not read to its end.
const BYTES_MAX: u64 = 16 * 1024;

/// A file that holds a token and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
}

/// Why there is no token in the file. Never carries what is there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot read the token file {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the token file {} holds no token: {source}", path.display())]
    Malformed { path: PathBuf, source: TokenError },
}

impl TokenFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Token, ReadError> {
        let failed = |source| ReadError::Io { path: self.path.clone(), source };
        let mut text = String::new();
        File::open(&self.path)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
            .map_err(failed)?;
        Token::parse(&text).map_err(|source| ReadError::Malformed { path: self.path.clone(), source })
    }

    /// Finds out whether a token can be written, before one is asked for that could not be kept.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let path = self.target()?;
        let folder = folder(&path);
        make_folder(folder)?;
        let draft = draft(folder);
        create(&draft)?;
        fs::remove_file(draft)
    }

    /// Puts the token in place of what is there, whole or not at all, for the eyes of this user alone.
    pub(crate) fn write(&self, token: &Token) -> io::Result<()> {
        let path = self.target()?;
        let draft = draft(folder(&path));
        let written = create(&draft)
            .and_then(|mut file| writeln!(file, "{}", token.text()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &path));
        if written.is_err() {
            // It may not even exist.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// What a link leads to, so that the link stays one. A file that is marked read-only is meant to stay as it is.
    fn target(&self) -> io::Result<PathBuf> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.permissions().readonly() => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"))
            }
            Ok(_) => fs::canonicalize(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.path.clone()),
            Err(error) => Err(error),
        }
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    }
}

fn draft(folder: &Path) -> PathBuf {
    folder.join(format!(".token.{}", Uuid::new_v4()))
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("rollcall-token-{}", Uuid::new_v4()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn files(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_written_whole_and_read_back() {
        let folder = Folder::new();
        let file = TokenFile::new(folder.0.join("token"));
        assert!(matches!(file.read(), Err(ReadError::Io { .. })));
        for text in ["one", "two"] {
            file.write(&token(text)).unwrap();
            assert_eq!(file.read().unwrap().text(), text);
        }
        assert_eq!(folder.files(), 1, "no draft is left");
    }

    #[cfg(unix)]
    #[test]
    fn only_this_user_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let file = TokenFile::new(folder.0.join("token"));
        fs::write(file.path(), "old").unwrap();
        file.write(&token("new")).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = Folder::new();
        let target = folder.0.join("target");
        fs::write(&target, "old").unwrap();
        let link = folder.0.join("token");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        TokenFile::new(link.clone()).write(&token("new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(target).unwrap(), "new\n");
    }

    #[test]
    fn what_is_read_only_stays_as_it_is() {
        let folder = Folder::new();
        let file = TokenFile::new(folder.0.join("token"));
        fs::write(file.path(), "old").unwrap();
        let mut permissions = fs::metadata(file.path()).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(file.path(), permissions).unwrap();
        assert_eq!(file.write(&token("new")).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(file.read().unwrap().text(), "old");
    }

    #[test]
    fn a_place_for_the_token_is_made_and_nothing_else() {
        let folder = Folder::new();
        let file = TokenFile::new(folder.0.join("state/token"));
        file.prepare().unwrap();
        assert!(matches!(file.read(), Err(ReadError::Io { .. })));
        file.write(&token("one")).unwrap();
        let beneath = TokenFile::new(folder.0.join("state/token/token"));
        assert!(beneath.prepare().is_err(), "a file is no folder");
    }

    #[test]
    fn what_is_no_token_is_not_shown() {
        let folder = Folder::new();
        let file = TokenFile::new(folder.0.join("token"));
        fs::write(file.path(), "s3cret words").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("holds no token") && !error.contains("s3cret"), "{error}");
    }
}
